#!/usr/bin/perl

# What Litestream has started does not outlive it: its process group is killed,
# so that nobody keeps the locks.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ alive proc_stat using /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(11);

my $dir = $t->testdir;
my $url = "file://$dir/replica/app";

$t->fake('linger');

$t->write_file_expand('nginx.conf', <<'EOF');

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

EOF

my $db = $t->db('app', rows => 3);
$t->db_dir('replica');

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

my ($pid) = leaders();
my ($child) = lingering($pid);

ok($child, 'a child of Litestream that ignores TERM');
is(proc_stat($pid)->{pgrp}, $pid, 'a process group');
isnt(proc_stat($pid)->{session}, proc_stat($t->master_pid)->{session},
    'in a session of its own');

$db->insert(5, 'pending');
$t->signal('KILL', $pid);

ok($t->waituntil(sub { !alive($child) }), 'killed: the child ends, too');
ok($t->waituntil(sub {
    my ($now) = leaders();
    return $now && $now != $pid;
}, 15), 'killed: another one');
is($t->waitforstate('app', 'replicating'), 'replicating',
    'killed: replicating again');

($pid) = leaders();
($child) = lingering($pid);

ok($child, 'it has such a child, too');
ok($t->quit(), 'quit');
ok(!alive($pid) && !alive($child), 'quit: both have gone');
is($db->restore_count($url), 8, 'nothing was lost');


sub leaders {
    return grep { (proc_stat($_) // {})->{pgrp} == $_ } $t->litestream_pids;
}


sub lingering {
    my ($leader) = @_;

    return grep {
        my $st = proc_stat($_);
        $st && $_ != $leader && $st->{pgrp} == $leader;
    } using($dir);
}
