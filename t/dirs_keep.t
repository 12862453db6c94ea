#!/usr/bin/perl

# The lock of a directory in which a database was found while Litestream ran: it
# lives as long as that Litestream, also when the supervisor is killed.

use warnings;
use strict;

use Fcntl qw/ :flock /;
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ alive /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(14)
    ->expect_alerts(qr/supervisor process \d+ exited on signal 9/);

my $dir = $t->testdir;

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       t %%TESTDIR%%/t/**/*.db;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

$t->db_dir($_) for qw! t replica !;
make('one');

$t->run();

is($t->waitforstate('t/one.db', 'replicating'), 'replicating', 'one is there');
ok(locked('t'), 'the root is locked');

my ($pid) = $t->litestream_pids;

$t->db_dir($_) for qw! t/a t/b !;
make('a/two');

is($t->waitforstate('t/a/two.db', 'replicating', 30), 'replicating',
    'one in a new directory');
ok($t->waituntil(sub { 1 == (() = $t->job_pids) }), 'its lock is kept');

make('b/three');

is($t->waitforstate('t/b/three.db', 'replicating', 30), 'replicating',
    'one in another directory');
ok($t->waituntil(sub { 1 == (() = $t->job_pids) }),
    'both locks are kept by one process');
is(join(' ', $t->litestream_pids), $pid, 'the same Litestream');

# A Litestream that does not end at once; the master stands still as well, since
# the next supervisor would kill what is left over for 3 s.

my $super = $t->supervisor_pid;
my $master = $t->master_pid;

$t->signal('STOP', $pid, $master);
$t->signal('KILL', $super);

ok($t->waituntil(sub { !alive($super) }), 'the supervisor is dead');

my @held = map { locked("t/$_") } qw/ a b /;

ok(alive($pid), 'its Litestream is not');
is("@held", '1 1', 'the locks are held');

$t->signal('CONT', $master);

# the next one has them all

ok($t->waituntil(sub {
    my $now = ($t->status || {})->{supervisor}{pid};
    return $now && $now != $super
        && 3 == grep { $_->{state} eq 'replicating' }
            @{ ($t->status || {})->{databases} || [] };
}, 40), 'replicating again');

is(join(' ', map { locked("t/$_") } qw/ a b /), '1 1', 'the locks are held');
ok($t->waituntil(sub { 0 == (() = $t->job_pids) }),
    'by Litestream itself now');

ok($t->quit(), 'quit');


sub make {
    my ($name) = @_;
    return Test::Litestream::DB->make("$dir/t/$name.db", rows => 1);
}


sub locked {
    my ($name) = @_;

    open my $f, '<', "$dir/$name" or die "open($name) failed: $!\n";
    return flock($f, LOCK_EX|LOCK_NB) ? 0 : 1;
}
