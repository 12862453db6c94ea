#!/usr/bin/perl

# While Litestream is not running an application begins its WAL anew: what it
# has committed before that is in the replica when it is replicated again.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(18);

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

my $db = $t->db('app', rows => 3000);
my $url = 'file://' . $t->db_dir('replica') . '/app';

# the last who closes a database would remove its WAL

$db->hold('SELECT count(*) FROM t;');

for my $n (1 .. 3) {
    $db->sql('PRAGMA wal_checkpoint(TRUNCATE);');
    $t->run();

    is($t->waitforstate('app', 'replicating'), 'replicating',
        "$n: replicating");

    # the place that is reached must not be overwritten by what follows

    $db->grow(2_000_000);
    ok($t->quit(), "$n: quit");

    $db->sql("UPDATE t SET v = 'round $n' WHERE id <= 100;");

    # SQLite makes a checkpoint beyond 1000 pages; the third time it begins
    # the WAL twice, and the second one is as long as the first one

    for (1 .. ($n == 3 ? 2 : 1)) {
        $db->grow(800_000) for 1 .. ($_ == 1 ? 3 : 6);
        $db->insert();
    }

    $t->run();

    is($t->waitforstate('app', 'replicating'), 'replicating',
        "$n: replicating again");
    ok($t->quit(), "$n: quit");

    my $copy = $db->restore($url);

    is($copy->integrity, 'ok', "$n: a restore");
    is($copy->count("v = 'round $n'"), 100, "$n: nothing was lost");
}
