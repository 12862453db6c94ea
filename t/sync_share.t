#!/usr/bin/perl

# POST sync by fifty at once, at several workers: one sync runs and one waits,
# so that hardly any transactions are made, and each answer is true.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(11);

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;
worker_processes 4;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3 sync_interval=1h;

    server {
        listen  127.0.0.1:8080 reuseport;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

my $db = $t->db('app', rows => 7);
my $url = 'file://' . $t->db_dir('replica') . '/app';

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
is(scalar(my @pids = $t->worker_pids), 4, 'workers');

# whoever would sync for itself would find something new each time

my $writer = $db->writer(rate => 0);

ok($writer->wait(50), 'writer');

for my $most (30, 5) {

    # the second time they really are there at once

    $t->signal('STOP', $t->supervisor_pid) if $most == 5;

    my @acked = $writer->acked;
    my $before = txid();

    my @calls = map {
        http_post('/litestream/sync/app?timeout=20s', '', start => 1)
    } 1 .. 50;

    if ($most == 5) {
        select undef, undef, undef, 0.2;
        $t->signal('CONT', $t->supervisor_pid);
    }

    my @r = map { response(http_end($_)) } @calls;
    my $made = txid() - $before;

    is(scalar(grep { $_->{status} == 200 && json($_->{body})->{synced} } @r),
        50, 'all answers are true');

    my %txid = map { json($_->{body})->{txid} => 1 } @r;

    cmp_ok($made, '<=', $most, 'transactions made');
    cmp_ok(scalar keys %txid, '<=', $most, 'callers share them');

    is(join(' ', $writer->lost(scalar $db->restore($url), @acked)), '',
        'all commits before are in the replica');
}

$writer->stop;


sub txid { return $t->control('/txid?path=' . $db->path)->{txid} }
