#!/usr/bin/perl

# Litestream 0.3.13 while an application writes: a verification and syncs tell
# the truth; a reload without a change leaves it alone, one with a change
# starts it anew; all processes are killed at once and begin again.  No commit
# that was acknowledged is missing in the replica at the end.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)->old()
    ->has_daemon(qw/litestream sqlite3/)->plan(20);

my $dir = $t->testdir;
my $url = "file://$dir/replica/app";

conf(1000);

my $db = $t->db('app', rows => 3);

$t->db_dir('replica');
$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

my ($pid) = $t->litestream_pids;
my $writer = $db->writer(rate => 100);

$writer->wait(50);

# what was acknowledged before a sync began is there when it answers

for my $n (1 .. 3) {
    my $acked = $writer->acked;

    is(post('sync/app?timeout=30s'), 200, "sync $n");
    cmp_ok($db->restore_count($url), '>=', 3 + $acked, "sync $n: it is so");
}

my $v = json(response(http_post('/litestream/verify/app?timeout=60s'))->{body});
is($v->{verified}, 1, 'verified') or diag(explain($v));

# nothing has changed

$t->reload();
is(post('sync/app?timeout=30s'), 200, 'reload: sync');
is(join(' ', $t->litestream_pids), $pid, 'reload: the same Litestream');

# something has

conf(500);
$t->reload();

ok($t->waituntil(sub {
    my ($now) = $t->litestream_pids;
    return $now && $now != $pid;
}), 'reload with a change: another Litestream');
is($t->waitforstate('app', 'replicating', 30), 'replicating',
    'reload with a change: replicating');

my $acked = $writer->acked;

is(post('sync/app?timeout=30s'), 200, 'reload with a change: sync');
cmp_ok($db->restore_count($url), '>=', 3 + $acked,
    'reload with a change: it is so');

# all at once, while it writes

$writer->wait($writer->acked + 20);
kill 'KILL', $t->master_pid, $t->supervisor_pid, $t->litestream_pids,
    $t->worker_pids;

ok($t->waituntil(sub { !$t->litestream_pids(any => 1) }), 'all are killed');
$writer->wait($writer->acked + 20);

$t->run();

is($t->waitforstate('app', 'replicating', 30), 'replicating',
    'killed: replicating again');
is($t->database('app')->{error}, undef, 'killed: no error');

$writer->wait($writer->acked + 20);

my @acked = $writer->stop;

ok($t->quit(), 'quit');

my $copy = $db->restore($url);

is(join(' ', $writer->lost($copy, @acked)), '',
    'no acknowledged commit was lost');
is($copy->count, $db->count, 'nor any other');


sub post { return response(http_post("/litestream/$_[0]"))->{status} }


sub conf {
    my ($interval) = @_;

    $t->write_file_expand('nginx.conf', <<"EOC");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3
                        sync_interval=${interval}ms;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api write=on;
        }
    }
}

EOC
}
