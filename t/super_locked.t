#!/usr/bin/perl

# Everybody who may read a directory can lock it.  A stranger who does so keeps
# its database from being replicated or restored, as long as that lasts, and no
# other; nginx starts.

use warnings;
use strict;

use Fcntl qw/ :flock /;
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Command qw/ become /;
use Test::Litestream::Proc qw/ slurp /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(16)
    ->expect_alerts(qr/litestream supervisor process \d+ exited on signal 9/);

my $dir = $t->testdir;
my ($one, $two) = map { $t->db($_, rows => 3) } qw/ one two /;

$t->db_dir('replica');

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica file://%%TESTDIR%%/replica;
    litestream_db one %%TESTDIR%%/one/db.sqlite3;
    litestream_db two %%TESTDIR%%/two/db.sqlite3;

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

# at a start

my $stranger = stranger('one');

ok(locked('one'), 'a stranger');

$t->run();

is($t->waitforstate('two', 'replicating'), 'replicating', 'the other one');
is($t->waitforstate('one', 'error'), 'error', 'the locked one');
like($t->database('one')->{error},
    qr/not replicated: directory "\S+one" is locked by process $stranger$/,
    'the reason');
is(response(http_get('/litestream/ready'))->{status}, 200, 'ready');

$t->stop_daemon($stranger);

is($t->waitforstate('one', 'replicating'), 'replicating', 'free again');
is(response(http_post('/litestream/sync/one', ''))->{status}, 200, 'synced');
ok(locked('one'), 'locked by us');

# whoever waits for it may get it when the supervisor is killed

$stranger = stranger('two');

my $pid = $t->supervisor_pid;

$t->signal('STOP');
$t->signal('KILL', $pid);

$t->waituntil(sub { slurp('/proc/locks') =~ /: FLOCK +\S+ +\S+ +$stranger / });
$t->signal('CONT');

ok($t->waituntil(sub { ($t->supervisor_pid || $pid) != $pid }), 'respawned');
is($t->waitforstate('one', 'replicating'), 'replicating', 'not locked');
is($t->waitforstate('two', 'error'), 'error', 'locked');

$t->stop_daemon($stranger);

is($t->waitforstate('two', 'replicating'), 'replicating', 'free again');

# one that is missing cannot be restored

$two->sql('PRAGMA wal_checkpoint(TRUNCATE);');
ok($t->quit, 'quit');

$two->remove;
$stranger = stranger('two');

my ($rc, $err) = $t->try_run();

is($rc, 1, 'no start');
like($err, qr/\[emerg\] .*"two": directory "\S+two" is locked by process/,
    'the reason');

$t->stop_daemon($stranger);
$t->run();

is($two->count, 3, 'restored');


# waits for the lock, and then keeps it

sub stranger {
    my ($name) = @_;

    my $pid = $t->run_daemon(sub {
        become(($t->worker_user)[0]);
        sysopen my $d, "$dir/$name", 0 or die "$dir/$name: $!\n";
        flock $d, LOCK_EX or die "flock: $!\n";
        sleep 1000;
    });

    # it has the lock, or waits for it

    $t->waituntil(sub { slurp('/proc/locks') =~ /FLOCK +\S+ +\S+ +$pid / });

    return $pid;
}


sub locked {
    my ($name) = @_;

    return $t->waituntil(sub {
        sysopen my $d, "$dir/$name", 0 or die "$dir/$name: $!\n";
        return !flock $d, LOCK_EX | LOCK_NB;
    });
}
