#!/usr/bin/perl

# A storage that takes what is written to it and never ends: syncs are given
# up in time, do not pile up in Litestream, and go on when it is well again.

use warnings;
use strict;

use POSIX qw/ mkfifo /;
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ config_of /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(9);

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

my $db = $t->db('app', rows => 3);
my $url = 'file://' . $t->db_dir('replica') . '/app';

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
is(post('20s'), 200, 'synced');

# what Litestream will write next, as a pipe that nobody reads

my ($pid) = $t->litestream_pids;
my $next = sprintf '%016x', 1 + hex $db->txid($url);
my $fifo = $t->testdir . "/replica/app/ltx/0/$next-$next.ltx.tmp";

mkfifo($fifo, 0666) or die "mkfifo($fifo) failed: $!\n";
chmod 0666, $fifo;

$db->grow(300_000);

# each one who waits is told in time, and asks again

my @seen = map { post('1s') } 1 .. 8;

is(scalar(grep { /^50[34]$/ } @seen), 8, 'not synced') or diag("@seen");
is(under_way(), 1, 'one sync is under way in Litestream');
like($t->database('app')->{error} // '', qr/has not synced it within 5 s/,
    'the reason');

# the pipe is read: Litestream gives it up, and makes a file

open my $f, '<', $fifo or die "open($fifo) failed: $!\n";

my $reader = $t->run_daemon(sub { 1 while sysread $f, my $buf, 65536 });
close $f;

is(post('40s'), 200, 'synced afterwards');
$t->stop_daemon($reader);

is($db->restore_count($url), 3, 'a restore');
is(($t->litestream_pids)[0], $pid, 'the same Litestream');
ok($t->quit(), 'quit');


sub post {
    my ($timeout) = @_;

    return response(http_post("/litestream/sync/app?timeout=$timeout"))
        ->{status};
}


sub under_way {
    my $text = http_unix(config_of($pid)->{socket},
        '/debug/pprof/goroutine?debug=2');

    return scalar(my @found = $text =~ /\(\*Server\)\.handleSync\(/g);
}
