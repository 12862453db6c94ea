#!/usr/bin/perl

# Workers are killed: replication does not notice, the new ones connect to the
# supervisor, which does not miss the old ones when it is to end.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(12)
    ->expect_alerts(qr/worker process \d+ exited on signal 9/);

my $dir = $t->testdir;
my $url = "file://$dir/replica/app";

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;
worker_processes 2;

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

my @before = ($t->master_pid, $t->supervisor_pid, $t->litestream_pids);
my $writer = $db->writer(rate => 100);

$writer->wait(10);

# one, then all

for my $n (1, 2) {
    my @old = $t->worker_pids;

    is(scalar @old, 2, 'two workers');
    $t->signal('KILL', @old[0 .. $n - 1]);

    ok($t->waituntil(sub {
        my %now = map { $_ => 1 } $t->worker_pids;
        return 2 == keys %now && !grep { $now{$_} } @old[0 .. $n - 1];
    }), 'respawned');

    like(http_post('/litestream/sync/app'), qr/ 200 .*"synced":true/s, 'sync');
}

# one that is waited for by nobody

my ($pid) = $t->litestream_pids;
my @old = $t->worker_pids;

$t->signal('STOP', $pid);

my $s = http_post('/litestream/sync/app', undef, start => 1);

select undef, undef, undef, 0.1;
$t->signal('KILL', @old);
http_end($s);
$t->signal('CONT', $pid);

like(http_post('/litestream/sync/app'), qr/ 200 .*"synced":true/s,
    'sync by a new worker');

$writer->wait($writer->acked + 10);

is(join(' ', $t->master_pid, $t->supervisor_pid, $t->litestream_pids),
    "@before", 'the same processes');
is($t->status()->{supervisor}{restarts}, 0, 'the supervisor was not restarted');

my @acked = $writer->stop;

ok($t->quit(), 'quit');
is(join(' ', $writer->lost(scalar $db->restore($url), @acked)), '',
    'no acknowledged commit was lost');
