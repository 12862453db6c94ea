#!/usr/bin/perl

# A site whose storage does not answer has as many restores under way as there
# may be: another site's restore and comparison do not wait for them.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(9);

my $dir = $t->testdir;

$t->fake('restore: only /stuck/', 'restore: hang');

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_restore  blocking concurrency=1 timeout=10m;
    litestream_replica  file://%%TESTDIR%%/replica;

    server {
        listen  127.0.0.1:8081;

        # read before the others
        litestream_db        a %%TESTDIR%%/stuck/a.sqlite3;
        litestream_db        b %%TESTDIR%%/stuck/b.sqlite3;
        litestream_snapshot  retention=2d;
    }

    server {
        listen  127.0.0.1:8080;

        litestream_db  gone %%TESTDIR%%/site/gone.sqlite3;
        litestream_db  here %%TESTDIR%%/site/here.sqlite3;

        location /litestream/ {
            litestream_api db=a,b,gone,here;
        }

        location = /ready {
            litestream_api;
        }
    }
}

EOF

$t->db_dir($_) for qw/ stuck site replica /;

my $db = Test::Litestream::DB->make("$dir/site/gone.sqlite3", rows => 3);

Test::Litestream::DB->make("$dir/site/here.sqlite3", rows => 2);

$db->replicate("file://$dir/replica/gone");
$db->remove();

my $start = $t->now;

$t->run();

cmp_ok($t->now - $start, '<', $t->ceiling(5), 'starts at once');

is($t->waitforstate('gone', 'replicating', 20), 'replicating', 'restored');
is($db->count, 3, 'its rows');
is($t->waitforstate('here', 'replicating', 20), 'replicating', 'compared');
is(response(http_get('/ready'))->{status}, 200, 'its site is ready');

is($t->database('a')->{state}, 'restoring', 'the first that hangs');
is($t->database('b')->{state}, 'starting', 'the other waits for its turn');
is(response(http_get('/litestream/ready'))->{status}, 503, 'not ready');

ok($t->quit(), 'quit');
