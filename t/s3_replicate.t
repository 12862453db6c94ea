#!/usr/bin/perl

# A replica on S3: a database is replicated there, verified and synced, lost
# and restored from there, and replicated again.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::S3;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(24);

my $s3 = Test::Litestream::S3->new($t);

$s3->start();

$t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  s3://backups/prod/ region=us-east-1
                        ${\ $s3->params };
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api write=on;
        }
    }
}

EOF

my $db = $t->db('app', rows => 3);

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicated');

my $status = $t->database('app');

is($status->{replica}{type}, 's3', 'status: type');
is($status->{replica}{url}, 's3://backups/prod/app', 'status: URL');
is($status->{error}, undef, 'status: no error');
like(($s3->objects('backups'))[0], qr!^backups/prod/app/0000/\d{16}-!,
    'objects where Litestream puts them');

is($db->insert(4), 7, 'rows are inserted');

my $r = $t->api('sync/app', method => 'POST');

is($r->{synced} ? 1 : 0, 1, 'synced');
like($r->{txid}, qr/^[0-9a-f]{16}$/, 'synced: transaction');
is($db->restore_count($s3->url('backups/prod/app'), env => $s3->env), 7,
    'all rows are in the replica');

$r = $t->api('verify/app', method => 'POST');

is($r->{verified} ? 1 : 0, 1, 'verified');
is($r->{error}, undef, 'verified: no error');

is($t->stop(), 1, 'stopped');

# lost with the machine

$db->remove();

$t->run();

is($db->count, 7, 'restored before nginx serves');
is($t->waitforstate('app', 'replicating'), 'replicating',
    'replicated again');

$status = $t->database('app');

is($status->{restore}{state}, 'done', 'status: restored');
ok($status->{history}{from}, 'status: history');

$db->insert(1);

is($t->api('sync/app', method => 'POST')->{synced} ? 1 : 0, 1,
    'synced again');
is($db->restore_count($s3->url('backups/prod/app'), env => $s3->env), 8,
    'the replica goes on');

# a reload changes nothing

my ($pid) = $t->litestream_pids();

is($t->reload(), 1, 'reload');
is(($t->litestream_pids())[0], $pid, 'reload: the same Litestream');

# what is in the files of the state directory is for its user

my ($yml) = glob $t->state_path . '/*-s3-*/litestream.yml';
my $text = $t->read_file($yml) // '';

is(sprintf('%04o', (stat $yml)[2] & 07777), '0400', 'litestream.yml: mode');
unlike($text, qr/s3:|url/, 'litestream.yml: keys, no URL');
like($text, qr/access-key-id: "\Q${\ $s3->key }\E"/, 'litestream.yml: key');

# the secret is in nginx.conf here, which everybody may read: that is told

like($t->read_file('stderr.log'),
    qr/\[warn\].*"secret_access_key" is a secret in a file that everybody.*:\d/,
    'warned');
