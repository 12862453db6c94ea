#!/usr/bin/perl

# USR1: logs that were moved away are made anew, by the supervisor for its own
# descriptors as well.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ fds /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(16);

my $dir = $t->testdir;

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_log  %%TESTDIR%%/litestream.log;

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

my $super = $t->supervisor_pid;
my $n = logs();

like($t->read_file('litestream.log'), qr/supervisor $super has taken over/,
    'litestream_log');

for my $time (1, 2) {
    rename "$dir/$_.log", "$dir/$_.log.$time" for qw/ error litestream /;

    $t->signal('USR1');

    ok($t->waituntil(sub {
        2 == grep { -e "$dir/$_.log" } qw/ error litestream /
    }), "$time: both were made anew");
    ok($t->waituntil(sub {
        !grep { $_->{target} =~ /\.log\.\d/ } fds($super)
    }), "$time: the supervisor has the new ones");

    # it says something

    my $old = $t->waituntil(sub { ($t->litestream_pids)[0] });

    $t->signal('KILL', $old);

    my $re = qr/process $old of group \S+ exited/;

    ok($t->waituntil(sub {
        ($t->read_file('litestream.log') // '') =~ $re
    }), "$time: which it uses");
    unlike($t->read_file("litestream.log.$time"), $re,
        "$time: and not the old ones");
}

is(logs(), $n, 'no descriptor is left open');
is($t->supervisor_pid, $super, 'the same supervisor');
like($t->read_file('error.log'), qr/litestream|worker|signal/,
    'error_log is used');
is($t->waitforstate('app', 'replicating'), 'replicating',
    'replicating again');

# Litestream has neither of them

is(join("\n", map { $t->check_fds($_) } $t->litestream_pids), '',
    'descriptors of Litestream');
ok($t->quit(), 'quit');


sub logs { return scalar(grep { $_->{target} =~ /\.log$/ } fds($super)) }
