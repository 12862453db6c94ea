#!/usr/bin/perl

# A Litestream that does not end when it is told to is killed after
# litestream_shutdown_timeout, at a hand-over and at the end.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ alive /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(12);

my $dir = $t->testdir;

# what it says of transactions must not be believed: none

$t->fake('ignore TERM',
    'answer POST /sync 200 {"status":"no_change","txid":0}', 'serve');

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_shutdown_timeout  600ms;

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

$t->db('app', rows => 3);
$t->db_dir('replica');

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

my ($pid) = $t->litestream_pids;
my $super = $t->supervisor_pid;
my $re = qr/\[error\].*litestream process $pid .*did not end in time, killed/;

# hand-over

$t->write_file('nginx.conf', $t->read_file('nginx.conf') =~ s/600ms/500ms/r);

ok($t->reload(), 'reload');
ok($t->waituntil(sub {
    my ($now) = $t->litestream_pids;
    return $now && $now != $pid && $t->supervisor_pid != $super;
}, 15), 'another supervisor and Litestream');
ok(!alive($pid), 'hand-over: it was killed');
is(scalar(my @lines = $t->read_log($re)), 1, 'hand-over: the log says so');
is($t->waitforstate('app', 'replicating'), 'replicating',
    'hand-over: replicating again');

# end

($pid) = $t->litestream_pids;
$re = qr/\[error\].*litestream process $pid .*did not end in time, killed/;

ok($t->quit(ceiling => 20), 'quit');
ok(!alive($pid), 'quit: it was killed');
is(scalar(@lines = $t->read_log($re)), 1, 'quit: the log says so');
is($t->exit_code, 0, 'quit: exit code');

# what it had answered was believed, all the same

is(join("\n", $t->read_log(qr/was not synced before the end/)), '',
    'the last sync had succeeded');
is(join("\n", $t->read_log(qr/supervisor \d+ exited on signal/)), '',
    'the supervisors ended by themselves');
