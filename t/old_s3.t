#!/usr/bin/perl

# Litestream 0.3.13 with a replica on S3, which only it can list: replicated,
# verified, lost and restored; then a storage that says no, that is away, and
# that goes while an application writes.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Remote;
use Test::Litestream::S3;

my $t = Test::Litestream->new()->has(qw/http/)->old()
    ->has_daemon(qw/litestream sqlite3/)->plan(53);

my $s3 = Test::Litestream::S3->new($t);
my $r = Test::Litestream::Remote->new($t, $s3, 'backups/prod/app');
my $endpoint = $s3->endpoint;

$s3->start();

conf($s3->secret);
$r->cycle('s3', 's3://backups/prod/app');
$t->stop();

conf('the-wrong-secret');
$r->denied('wrong secret', qr/SignatureDoesNotMatch: [^{}?]+ 403/,
    'the-wrong-secret');

# as this Litestream says it

my $why = qr/send request failed: caused by: .*: connect: connection refused$/;

conf($s3->secret);
$r->away($why);
$r->gone($why, 12);

# one that has nothing to do when the storage is back

$t->run();
is($t->waitforstate('app', 'replicating', 60), 'replicating', 'replicated');

$s3->stop();
$r->insert(1);

isnt($t->waitforstate('app', 'lagging|error', 40), 'replicating', 'away');
$s3->start();

is($t->waitforstate('app', 'replicating', 60), 'replicating',
    'replicated without another change');


sub conf {
    my ($secret) = @_;

    $t->write_file('env', "KEY=${\ $s3->key }\nSECRET=$secret\n");
    chmod 0600, $t->testdir . '/env';

    $t->write_file_expand('nginx.conf', <<"EOC");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_env_file          %%TESTDIR%%/env;
    litestream_restore           blocking timeout=8s;
    litestream_shutdown_timeout  5s;

    litestream_replica  s3://backups/prod region=us-east-1 endpoint=$endpoint
                        access_key_id=\${KEY} secret_access_key=\${SECRET};
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api write=on;
        }
    }
}

EOC
}
