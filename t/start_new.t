#!/usr/bin/perl

# No database, and a replica that is proven to be empty: nginx starts, the
# database is new, which counts as in place.  The application makes it, and
# its first commit is replicated.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(26);

my $dir = $t->testdir;

$t->write_file_expand('nginx.conf', <<'EOC');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

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

my $url = "file://$dir/replica/app";
my $db = Test::Litestream::DB->new($t->db_dir('app') . '/db.sqlite3');

$t->db_dir('replica');

my $before = $t->tree($db->dir);
my ($rc, $err) = $t->try_run();

is($rc, 0, 'nginx starts') or diag($err);
is($t->waitforstate('app', 'new'), 'new', 'state');
is(response(http_get('/litestream/ready'))->{status}, 200, 'ready');
is_deeply($t->tree($db->dir), $before, 'nothing was made');
is($db->txid($url), '', 'neither there');
is(scalar(my @lines = $t->read_log(qr/"app" is new: replica .* is empty/)), 1,
    'the log says so');

my $st = $t->database('app');

is($st->{restore}{state}, 'none', 'no restore');
is($st->{error}, undef, 'no error');
is($st->{txid}, undef, 'no transaction');
is($st->{history}{from}, undef, 'no history');

# it stays new as long as nobody makes it

ok($t->waituntil(sub { $t->litestream_pids }), 'Litestream runs');
is($t->waitforstate('app', 'new'), 'new', 'still new');

# over a reload and a restart, too

$t->reload();
is($t->waitforstate('app', 'new'), 'new', 'new after a reload');
ok($t->stop(), 'stop');
$t->run();
is($t->waitforstate('app', 'new'), 'new', 'new after a restart');

# one that got a backup while nginx did not run is not new any more

ok($t->stop(), 'stop');

my $elsewhere = $t->db('elsewhere', rows => 7)->replicate($url);

$t->run();

is($db->count, 7, 'a backup from elsewhere is restored');
ok($t->stop(), 'stop');

$db->remove();
$t->command('rm', '-rf', "$dir/replica/app", $t->state_path);
$t->run();
is($t->waitforstate('app', 'new'), 'new', 'new again');

# the first commit

Test::Litestream::DB->make($db->path, rows => 3);

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
ok($t->waituntil(sub { $db->restore_count($url) == 3 }), 'a backup');
is(response(http_get('/litestream/ready?db=app&replicating=1'))->{status}, 200,
    'ready and replicating');

# in one process with one that has just been replicated, and the machine lost:
# from now on it is not new any more

ok($t->stop(), 'stop');
$db->remove();
$t->run();
is($db->count, 3, 'restored');
is($t->waitforstate('app', 'replicating'), 'replicating', 'goes on');
is($t->database('app')->{restore}{state}, 'done', 'status of the restore');
