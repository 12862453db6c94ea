#!/usr/bin/perl

# A replica on S3: each of the examples of docs/replicas.md as it stands there,
# on a server that has the name that Amazon's and others have; then a storage
# that says no, that is away, that goes, and that hangs.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Docs;
use Test::Litestream::Remote;
use Test::Litestream::S3;
use Test::Litestream::TLS;
use Test::Litestream::Wire;

# heading, host, and what Litestream itself needs for it

my @examples = (
    [ 'Amazon S3', 'backups.s3.eu-west-1.amazonaws.com', region => 'eu-west-1' ],
    [ 'MinIO', 'minio.example.com',
      endpoint => 'https://minio.example.com:9000' ],
    [ 'Cloudflare R2', '0123456789abcdef.r2.cloudflarestorage.com',
      endpoint => 'https://0123456789abcdef.r2.cloudflarestorage.com',
      region => 'auto' ],
    [ 'Backblaze B2', 's3.us-west-004.backblazeb2.com',
      endpoint => 'https://s3.us-west-004.backblazeb2.com',
      region => 'us-west-004' ],
);

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3 openssl/)->plan(20 * @examples + 65);

my $cert = Test::Litestream::TLS->cert($t, 's3',
    name => join ',', map { "DNS:$_->[1]" } @examples);

my $r = Test::Litestream::Remote->new($t, undef, 'backups/prod/app');

for (@examples) {
    my ($heading, $host, %replica) = @$_;

    note($heading);

    # Amazon's buckets are names

    my $s3 = Test::Litestream::S3->new($t, 
        host => $heading =~ /^Amazon/ ? 1 : 0);
    my $wire = Test::Litestream::Wire->new($t, { $host => $s3->addr });

    $s3->tls($cert, $wire, %replica);
    $s3->start();

    Test::Litestream::Docs->conf($t, $heading,
        env => $s3->keys, more => $wire->proxy
            . " litestream_env SSL_CERT_FILE=$cert->[0];");

    $r->server($s3);
    $r->cycle('s3', 's3://backups/prod/app');

    ok(scalar(grep { $_->{line} =~ /^CONNECT \Q$host\E:/ } $wire->requests),
        "$heading: it is asked");

    is($t->stop(), 1, "$heading: stop");
    $s3->stop();
}

# it says no

my $s3 = Test::Litestream::S3->new($t);

$s3->start();
$r->server($s3);

conf('backups', 'not-the-secret');
$r->denied('wrong key', qr/SignatureDoesNotMatch|AccessDenied/,
    'not-the-secret');

conf('backup', $s3->secret);
$r->denied('no bucket', qr/NoSuchBucket.*: create the bucket, or/,
    $s3->secret);

# it is away, it goes, it hangs

my $endpoint = $s3->endpoint;

conf('backups', $s3->secret);

$r->away(qr/"\Q$endpoint\E" cannot be reached: Connection refused/);
$r->gone(qr/"\Q$endpoint\E" cannot be reached: Connection refused/);
$r->hangs(qr/"\Q$endpoint\E" takes connections, but has not answered/);


sub conf {
    my ($bucket, $secret) = @_;

    $t->write_file('env', 'KEY=' . $s3->key . "\nSECRET=$secret\n");
    chmod 0600, $t->testdir . '/env';

    my $to = $s3->endpoint;

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

    litestream_replica  s3://$bucket/prod endpoint=$to
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
