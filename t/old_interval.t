#!/usr/bin/perl

# A long sync_interval with Litestream 0.3.13: how far the replica is is known
# soon after each start all the same, and what waits for its time is uploaded at
# the end.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ config_of slurp /;

my $t = Test::Litestream->new()->has(qw/http/)->old()
    ->has_daemon(qw/litestream sqlite3/)->plan(15);

my $dir = $t->testdir;
my $url = "file://$dir/replica/app";

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_shutdown_timeout  2s;
    litestream_replica           file://%%TESTDIR%%/replica;
    litestream_db                app %%TESTDIR%%/app/db.sqlite3
                                 sync_interval=10m;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api write=on;
        }
    }
}

EOF

my $db = $t->db('app', rows => 3);
my $rows = 3;

$t->db_dir('replica');

# nobody else opens the database: its WAL is there at the next start

for my $n (1 .. 3) {
    $t->run();

    is($t->waitforstate('app', 'replicating', 30), 'replicating',
        "start $n: replicating");

    my ($pid) = $t->litestream_pids;
    my $yml = slurp(config_of($pid)->{file});

    like($yml, qr/monitor-interval: 1s\n(?:.*\n)*? +sync-interval: 600s$/m,
        "start $n: its configuration");

    $db->insert(5);
    $rows += 5;

    cmp_ok($db->restore_count($url), '<', $rows, "start $n: not yet");
    ok($t->quit(), 'quit');
    is($db->restore_count($url), $rows, "start $n: the end has uploaded them");
}
