#!/usr/bin/perl

# Litestream 0.3.13 has been run by hand at the place of a backup of 0.5: nginx
# with 0.5 restores what is newer, goes on with what is in place, and loses
# nothing of either.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::DB;

my $t = Test::Litestream->new()->has(qw/http/)
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

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api write=on;
        }
    }
}

EOF

my $db = $t->db('app', rows => 3);

$t->db_dir('replica');
replicated('0.5', 4);

# lost after that

by_hand(5);
$db->remove();
replicated('lost', 6);

# and it counts from here on

$db->remove();
replicated('lost again', 7);

# in place

by_hand(8);
replicated('in place', 9);

$db->remove();
replicated('in place, lost', 10);


# nginx has it, with one row less, and then all of it is in the replica

sub replicated {
    my ($name, $rows) = @_;

    $t->run();
    is($t->waitforstate('app', 'replicating', 30), 'replicating',
        "$name: replicating") or diag(explain($t->database('app')));
    is($db->insert(1), $rows, "$name: rows");
    $t->quit();
    is($db->restore_count($url), $rows, "$name: the replica has them");
}


# replicated by 0.3, one row more

sub by_hand {
    my ($rows) = @_;

    $t->old();

    my $pid = $t->run_daemon($t->litestream, 'replicate', $db->path, $url);

    $db->insert(1);
    $t->waituntil(sub { $db->restore_count($url) == $rows }, 30);
    $t->stop_daemon($pid);
    $t->old(0);
}
