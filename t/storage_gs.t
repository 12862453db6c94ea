#!/usr/bin/perl

# A replica on Google Cloud Storage: the example of docs/replicas.md as it
# stands there, with a service account and a server that is Google's by name;
# then a storage that says no, that is away, that goes, and that hangs.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Docs;
use Test::Litestream::GCS;
use Test::Litestream::Remote;
use Test::Litestream::TLS;
use Test::Litestream::Wire;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3 openssl/)->plan(93);

my $gcs = Test::Litestream::GCS->new($t);
my $r = Test::Litestream::Remote->new($t, $gcs, 'backups/prod/app');

my $cert = Test::Litestream::TLS->cert($t, 'google',
    name => 'DNS:storage.googleapis.com');
my $wire = Test::Litestream::Wire->new($t,
    { 'storage.googleapis.com' => $gcs->addr });

# the example

$gcs->tls($cert, $wire);
$gcs->start();

my $key = $gcs->account('backup.json');

Test::Litestream::Docs->conf($t, 'Google Cloud Storage',
    more => $wire->proxy . " litestream_env SSL_CERT_FILE=$cert->[0];");

$r->cycle('gs', 'gs://backups/prod/app');
$t->stop();

ok($gcs->tokens > 0, 'tokens of the service account');

# it says no

$gcs->stop();
$gcs->tls();
$gcs->start();

my $emulator = 'litestream_env STORAGE_EMULATOR_HOST=' . $gcs->addr . ';';
my $account = "litestream_env GOOGLE_APPLICATION_CREDENTIALS=$key;";

conf('backup', $emulator);
$r->denied('no bucket', qr/bucket doesn't exist: create the bucket/);

conf('backups', '');
$r->denied('no credentials', qr/could not find default credentials/);

$gcs->deny('account not found');
conf('backups', $account);
$r->denied('refused account', qr/account not found/);

# it is away, it goes, it hangs

my $endpoint = 'http://' . $gcs->addr;

conf('backups', $emulator);

$r->away(qr/"\Q$endpoint\E" cannot be reached: Connection refused/);
$r->gone(qr/"\Q$endpoint\E" cannot be reached: Connection refused/);
$r->hangs(qr/"\Q$endpoint\E" takes connections, but has not answered/);


sub conf {
    my ($bucket, $env) = @_;

    $t->write_file_expand('nginx.conf', <<"EOC");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    $env
    litestream_restore           blocking timeout=8s;
    litestream_shutdown_timeout  5s;

    litestream_replica  gs://$bucket/prod;
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
