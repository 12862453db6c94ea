#!/usr/bin/perl

# S3 answers, but says no: a wrong key, a missing bucket.  A database that is
# there is served and not replicated, one that is missing keeps nginx from
# starting; both within seconds, with the storage's own words.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::CLI;
use Test::Litestream::S3;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(25);

my $s3 = Test::Litestream::S3->new($t);

$s3->start();

my $db = $t->db('app', rows => 3);
my $key = 'access_key_id=' . $s3->key;

my @cases = (
    [ 'wrong secret', "s3://backups/x $key secret_access_key=wrong-secret",
      qr/SignatureDoesNotMatch.*: check LITESTREAM_SECRET_ACCESS_KEY or "/ ],
    [ 'wrong key', 's3://backups/x access_key_id=NOSUCHKEYID1 '
      . 'secret_access_key=' . $s3->secret,
      qr/InvalidAccessKeyId.*: check LITESTREAM_ACCESS_KEY_ID or "/ ],
    [ 'missing bucket', "s3://backup/x $key secret_access_key="
      . $s3->secret,
      qr/NoSuchBucket.*create the bucket, or check "region" and "endpoint"/ ],
);

for (@cases) {
    my ($name, $replica, $why) = @$_;

    conf($replica);

    # present

    $t->run();

    is($t->waitforstate('app', 'error', 10), 'error', "$name: error");
    like($t->database('app')->{error} // '', $why, "$name: the reason");
    is($t->api('ready')->{ready} ? 1 : 0, 1, "$name: ready");

    $t->stop();

    # missing

    rename $db->path, $db->path . '-kept';

    my $from = $t->now;
    my ($rc, $err) = $t->try_run();

    isnt($rc, 0, "$name: missing, nginx does not start");
    like($err, $why, "$name: missing, the reason");
    cmp_ok($t->now - $from, '<', $t->ceiling(10), "$name: at once");

    my ($code, $out) = cli($t, 'status');

    is($code, 3, "$name: missing, nginx is not running");
    like($out, qr/^app +error .*\n    error: nginx did not start: .*$why/m,
        "$name: missing, the status");

    $t->stop() unless $rc;
    unlink $db->files;
    rename $db->path . '-kept', $db->path;
}

ok(!grep({ /wrong-secret/ } $t->read_log()), 'no secret in the log');


sub conf {
    my ($replica) = @_;

    my $endpoint = $s3->endpoint;

    $t->write_file_expand('nginx.conf', <<"EOC");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  $replica endpoint=$endpoint;
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
