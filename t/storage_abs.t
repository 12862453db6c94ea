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
    ->has_daemon(qw/litestream sqlite3 openssl/)->plan(110);

my $azure = Test::Litestream::Azure->new($t, account => 'myaccount');
my $cert = Test::Litestream::TLS->cert($t, 'azure',
    name => 'DNS:*.blob.core.windows.net');

my $r = Test::Litestream::Remote->new($t, $azure, 'backups/prod/app');

$azure->start();
$azure->container('backups');
$azure->stop();

# the examples: a key, and a token

my $wire = Test::Litestream::Wire->new($t,
    { 'myaccount.blob.core.windows.net' => $azure->addr });

my $more = $wire->proxy . " litestream_env SSL_CERT_FILE=$cert->[0];";

$azure->tls($cert, $wire);
$azure->start();

Test::Litestream::Docs->conf($t, 'Azure Blob Storage',
    env => { AZURE_KEY => $azure->key },
    more => $more);

$r->cycle('abs', 'abs://myaccount@backups/prod/app');
$t->stop();

my $token = $azure->token('backups');

Test::Litestream::Docs->conf($t, 'Azure Blob Storage', n => 2,
    env => { AZURE_TOKEN => $token }, more => $more);

$r->cycle('abs', 'abs://myaccount@backups/prod/app');
$t->stop();

$azure->stop();
$azure->tls(undef);
$azure->start();

# it says no

my $endpoint = $azure->endpoint;

conf('backups', account_key => 'd3Jvbmcta2V5');
$r->denied('wrong key', qr/: AuthorizationFailure \(403 Server failed to auth/,
    'd3Jvbmcta2V5');

my $signature = 'A' x 43 . '%3D';

conf('backups', sas_token => $token =~ s/sig=\K.*/$signature/r);
$r->denied('wrong token', qr/: AuthorizationFailure \(403 Server failed to auth/,
    $signature);

conf('backup', account_key => $azure->key);
$r->denied('no container',
    qr/: ContainerNotFound \(404 .*\): create the container, or/, $azure->key);

# it is away, it goes, it hangs

conf('backups', account_key => $azure->key);

$r->away(qr/"\Q$endpoint\E" cannot be reached: Connection refused/);
$r->gone(qr/"\Q$endpoint\E" cannot be reached: Connection refused/);
$r->hangs(qr/"\Q$endpoint\E" takes connections, but has not answered/);


sub conf {
    my ($container, $param, $secret) = @_;

    $t->write_file('env', "SECRET=$secret\n");
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
                        $param=\${SECRET};
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
