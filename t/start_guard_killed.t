#!/usr/bin/perl

# The guard of a start is killed before Litestream has opened the database:
# Litestream is started anew with another guard, and nothing is lost.  It dies
# with the supervisor.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ alive /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)
    ->expect_alerts(qr/litestream supervisor process \d+ exited on signal 9/)
    ->plan(16);

my $dir = $t->testdir;

$t->fake('await go');
$t->write_file('fake/go', '');

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

my $db = $t->db('app', rows => 3000);
my $url = 'file://' . $t->db_dir('replica') . '/app';

# the last who closes a database would remove its WAL

$db->hold('SELECT count(*) FROM t;');
$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
ok($t->waituntil(sub { !$t->job_pids }), 'no guard any more');

$db->grow(2_000_000);
is(response(http_post('/litestream/sync/app?timeout=20s'))->{status}, 200,
    'synced');

unlink "$dir/fake/go";

my $starts = starts();

$t->signal('KILL', $t->litestream_pids);
ok($t->waituntil(sub { starts() > $starts }, 20), 'a start');

my ($guard) = $t->job_pids;

is($db->locked($guard), 1, 'a guard');
$t->signal('STOP', $t->supervisor_pid);
$t->signal('KILL', $guard);

# SQLite makes a checkpoint beyond 1000 pages, then the WAL is begun anew

$db->sql("UPDATE t SET v = 'unguarded' WHERE id <= 100;");
$db->grow(800_000) for 1 .. 3;
$db->insert();

$t->signal('CONT', $t->supervisor_pid);

ok($t->waituntil(sub { starts() > $starts + 1 }, 20), 'another start');
ok($t->waitforlog(qr/litestream process \d+ of group \S+ has lost its guard/),
    'the log tells why');
ok($t->waituntil(sub { $db->locked($t->job_pids) }), 'another guard');

$t->write_file('fake/go', '');

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating again');
is($db->restore($url)->count("v = 'unguarded'"), 100, 'nothing was lost');

# the supervisor is killed while there is a guard

ok($t->waituntil(sub { !$t->job_pids }), 'no guard any more');
unlink "$dir/fake/go";
$starts = starts();

$t->signal('KILL', $t->litestream_pids);
ok($t->waituntil(sub { starts() > $starts }, 20), 'a start');

($guard) = $t->job_pids;
is($db->locked($guard), 1, 'a guard');

$t->signal('KILL', $t->supervisor_pid);
ok($t->waituntil(sub { !alive($guard) }), 'it has gone with the supervisor');

$t->write_file('fake/go', '');

is($t->waitforstate('app', 'replicating', 30), 'replicating',
    'replicating again');
ok($t->quit(), 'quit');


sub starts { return scalar grep { $_->[2] =~ /^replicate/ } $t->fake_calls }
