#!/usr/bin/perl

# Background mode: nginx starts at once, and the database is not ready until it
# is restored.  A restore that fails is tried again, without anybody's help.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(22);

my $dir = $t->testdir;

$t->fake();

$t->write_file('x.html', 'other site');

$t->write_file_expand('nginx.conf', <<'EOC');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_restore  background;

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOC

my $db = $t->db('app', rows => 10, size => 200000);
my $replica = $t->db_dir('replica') . '/app';
my $url = "file://$replica";

$db->replicate($url);

my $txid = $db->txid($url);
my $size = $db->restore($url)->size;

$db->remove();

# the storage is away at first, and waits for us then

chmod 0000, $replica;
$t->fake_mode('restore: partial 1000', 'restore: await go');

my ($rc, $err) = $t->try_run();

is($rc, 0, 'nginx starts') or diag($err);
is(response(http_get('/x.html'))->{body}, 'other site', 'serves');

is($t->waitforstate('app', 'error'), 'error', 'an error');
like($t->database('app')->{error}, qr/permission denied/, 'why');

my $st = $t->database('app')->{restore};

is($st->{state}, 'failed', 'the restore has failed');
like($st->{error}, qr/permission denied/, 'and says why');

my $r = response(http_get('/litestream/ready'));

is($r->{status}, 503, 'not ready');
like($r->{body}, qr/permission denied/, 'ready tells why');
ok(!-e $db->path, 'nothing was made');

# it is back

chmod 0755, $replica;

is($t->waitforstate('app', 'restoring', 40), 'restoring', 'tried again');

$t->waituntil(sub { ($t->database('app')->{restore}{bytes} // 0) > 0 });
$st = $t->database('app')->{restore};

is("$st->{state} $st->{bytes} $st->{total_bytes}", "running 1000 $size",
    'bytes');
is(response(http_get('/litestream/ready'))->{status}, 503, 'still not ready');

$t->write_file('fake/go', '');

is($t->waitforstate('app', 'replicating', 20), 'replicating', 'replicating');
is($db->count, 10, 'rows');
is($t->database('app')->{restore}{state}, 'done', 'done');
is($t->database('app')->{restore}{txid}, $txid, 'transaction');
is($t->database('app')->{error}, undef, 'no error');
is(response(http_get('/litestream/ready'))->{status}, 200, 'ready');

ok($t->stop(), 'stop');

# an application that does not wait: its database is left alone

$txid = $db->txid($url);
$db->remove();
$t->fake_mode('restore: await made');
$t->run();
$t->waitforstate('app', 'restoring');

Test::Litestream::DB->make($db->path, rows => 1);
$t->write_file('fake/made', '');

ok($t->waituntil(sub { ($t->database('app')->{error} // '') =~ /ahead/ }, 20),
    'made meanwhile: its replica is ahead of it');
is($db->count, 1, 'made meanwhile: left alone');
is($db->txid($url), $txid, 'made meanwhile: the backup is untouched');

