#!/usr/bin/perl

# What Litestream says, which runs with less rights, costs the supervisor no
# more than it has set apart: answers and lines without an end, floods of
# them, lists that are too long.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ proc_status /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(17);

# it has nothing in the replica, and does not say so either

my $synced = 'answer POST /sync 200 {"status":"synced","txid":0}';

$t->fake('endless /list', $synced, 'serve');

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_shutdown_timeout  2s;
    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOF

my $db = $t->db('app', rows => 7);
$t->db_dir('replica');
$t->run();

my $super = $t->supervisor_pid;

# a list that never ends

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
is($t->api('sync/app', method => 'POST', body => '')->{synced}, 1,
    'a list without an end: others are answered');
ok(heartbeat(), 'a list without an end: the supervisor goes on');

# nor the answer to a sync

again('endless /sync', 'serve');

my $r = response(http_post('/litestream/sync/app?timeout=1s'));

is($r->{status}, 503, 'an answer without an end');
cmp_ok(length json($r->{body})->{error}, '<', 512, 'why');
ok(heartbeat(), 'an answer without an end: the supervisor goes on');

# a line without an end, then a flood of lines

my $mark = $t->log_mark;

again('long 30000000', 'flood 5000000', $synced, 'serve');

is($t->waitforstate('app', 'replicating'), 'replicating', 'a flood');
ok(heartbeat(), 'a flood: the supervisor goes on');

ok($t->waitforlog(qr/\d+ lines of litestream process \d+ were dropped/, 10,
    $mark), 'a flood: it is said how many were dropped');

my @lines = $t->read_log(qr/: flood \d+/, $mark);

cmp_ok(scalar @lines, '<', 2000, 'a flood: few lines are logged');

my ($long) = sort { $b <=> $a } map { length } $t->read_log(qr/xxxx/, $mark);

cmp_ok($long, '<', 4096, 'a long line is cut');

# what jobs say

$t->fake_mode('restore: long 20000000', 'restore: exit 1', $synced, 'serve');
$r = response(http_post('/litestream/verify/app'));

is($r->{status}, 503, 'a restore that says too much');
cmp_ok(length json($r->{body})->{error}, '<', 512, 'what it says is cut');

# the supervisor has been the same, and is not large

is($t->supervisor_pid, $super, 'the same supervisor');

my ($kb) = proc_status($super)->{VmHWM} =~ /^(\d+) kB$/;

cmp_ok($kb, '<', 100000, 'its memory');
ok($t->stop(), 'stop');

# the list of a replica

$db->remove();
$t->fake_mode('ltx: fill 60000000');

like(($t->try_run())[1], qr/its list is too long/,
    'a list of a replica that is too long');


# Litestream is ended and started with another mode

sub again {
    my (@mode) = @_;

    my @old = $t->litestream_pids;

    $t->fake_mode(@mode);
    $t->signal('KILL', @old) if @old;

    $t->waituntil(sub {
        my ($now) = $t->litestream_pids;

        return $now && !(grep { $now == $_ } @old)
            && $t->status->{litestream}[0]{state} eq 'up';
    }, 20) or diag("not up: @mode");
}


# it has written the status since this call

sub heartbeat {
    my $up = $t->status->{supervisor}{uptime_seconds};

    return $t->waituntil(sub {
        my $st = $t->status;
        return $st->{supervisor}{state} eq 'up'
            && $st->{supervisor}{uptime_seconds} > $up;
    }, 5);
}
