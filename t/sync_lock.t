#!/usr/bin/perl

# An application may checkpoint by itself and begin its WAL anew between two
# syncs: what it has committed meanwhile is in the replica all the same.
# Litestream's read lock sees to that, if no sync that was asked for ends it.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ slurp /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(20);

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;

    # nothing is synced but by what is asked for

    litestream_db       app %%TESTDIR%%/app/db.sqlite3 sync_interval=1h;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

my $db = $t->db('app', rows => 3000);
my $url = 'file://' . $t->db_dir('replica') . '/app';

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
ok($t->waituntil(\&locked), 'Litestream keeps its read lock');

# the first time it was taken by the sync of the start; then there was a
# checkpoint in the sync before

for my $n (1 .. 3) {

    # the place that is reached must not be overwritten by what follows

    $db->grow(2_000_000);
    is(post('app'), 200, "$n: synced");

    $db->sql("UPDATE t SET v = 'round $n' WHERE id <= 100;");

    # beyond 1000 pages SQLite makes a checkpoint after each commit

    $db->grow(500_000) for 1 .. 6;
    $db->insert();

    is(post('app'), 200, "$n: synced again");
    ok(locked(), "$n: the read lock");

    my $copy = $db->restore($url);

    is($copy->integrity, 'ok', "$n: a restore");
    is($copy->count("v = 'round $n'"), 100, "$n: nothing was lost");
}

is($db->restore_count($url), $db->count, 'all rows');
ok($t->quit(), 'quit');
is($db->restore_count($url, where => "v = 'round 3'"), 100, 'after the end');


sub post {
    my ($alias) = @_;
    return response(http_post("/litestream/sync/$alias?timeout=20s"))->{status};
}


# SQLite's locks of readers are bytes 123 to 127 of the shared memory

sub locked {
    my ($pid) = $t->litestream_pids or return 0;
    my $ino = (stat $db->path . '-shm')[1] or return 0;

    for (split /\n/, slurp('/proc/locks')) {
        my (undef, undef, undef, $how, $who, $file, $first) = split;

        return 1 if $how eq 'READ' && $who == $pid && $file =~ /:$ino$/
            && $first >= 123 && $first <= 127;
    }

    return 0;
}
