#!/usr/bin/perl

# A replica on Azure Blob Storage: the example of docs/replicas.md as it stands
# there, on a server that is Azure's by name; then a storage that says no, that
# is away, that goes, and that hangs.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Azure;
use Test::Litestream::Docs;
use Test::Litestream::Remote;
use Test::Litestream::TLS;
use Test::Litestream::Wire;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3 openssl/)->plan(79);

my $azure = Test::Litestream::Azure->new($t, account => 'myaccount');
my $cert = Test::Litestream::TLS->cert($t, 'azure',
    name => 'DNS:*.blob.core.windows.net');

my $r = Test::Litestream::Remote->new($t, $azure, 'backups/prod/app');

$azure->start();
$azure->container('backups');
$azure->stop();

# the example

my $wire = Test::Litestream::Wire->new($t,
    { 'myaccount.blob.core.windows.net' => $azure->addr });

$azure->tls($cert, $wire);
$azure->start();

Test::Litestream::Docs->conf($t, 'Azure Blob Storage',
    env => { AZURE_KEY => $azure->key },
    more => $wire->proxy . " litestream_env SSL_CERT_FILE=$cert->[0];");

$r->cycle('abs', 'abs://myaccount@backups/prod/app');
$t->stop();

$azure->stop();
$azure->tls(undef);
$azure->start();

# it says no

my $endpoint = $azure->endpoint;

conf('backups', 'd3Jvbmcta2V5');
$r->denied('wrong key', qr/: AuthorizationFailure \(403 Server failed to auth/,
    'd3Jvbmcta2V5');

conf('backup', $azure->key);
$r->denied('no container',
    qr/: ContainerNotFound \(404 .*\): create the container, or/, $azure->key);

# it is away, it goes, it hangs

conf('backups', $azure->key);

$r->away(qr/"\Q$endpoint\E" cannot be reached: Connection refused/);
$r->gone(qr/"\Q$endpoint\E" cannot be reached: Connection refused/);
$r->hangs(qr/"\Q$endpoint\E" takes connections, but has not answered/);


sub conf {
    my ($container, $key) = @_;

    $t->write_file('env', "KEY=$key\n");
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

    litestream_replica  abs://myaccount\@$container/prod endpoint=$endpoint
                        account_key=\${KEY};
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
