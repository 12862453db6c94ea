#!/usr/bin/perl

# At quit, replication goes on as long as a worker has a request to finish, and
# what is committed last is in the replica.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http proxy/)
    ->has_daemon(qw/litestream sqlite3/)->plan(12);

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

        location /slow {
        proxy_pass  http://127.0.0.1:8081;
        }

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

my $db = $t->db('app', rows => 3);
$t->db_dir('replica');

# answers when it is told to

$t->run_daemon(sub {
    my $listen = IO::Socket::INET->new(LocalPort => port(8081),
        LocalAddr => '127.0.0.1', Listen => 5, ReuseAddr => 1)
        or die "socket: $!\n";

    while (my $s = $listen->accept) {
        my $request = <$s> // next;

        $t->write_file('asked', '');
        $t->waitforfile('answer');
        print $s "HTTP/1.0 200 OK\r\n\r\ndone";
        close $s;
    }
});

$t->waitforsocket('127.0.0.1:' . port(8081));
$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

my @pids = ($t->supervisor_pid, $t->litestream_pids);
my $s = http_get('/slow', start => 1);

ok($t->waitforfile('asked'), 'a long request');

$db->insert(2, 'before');
$t->signal('QUIT');

ok($t->waituntil(sub { $db->restore_count($url) == 5 }, 15),
    'a sync comes at once');

ok($t->waituntil(sub { !$t->worker_pids && $t->worker_pids(all => 1) }),
    'the worker drains');

for my $n (1 .. 2) {
    $db->insert(2, "meanwhile $n");
    ok($t->waituntil(sub { $db->restore_count($url) == 5 + 2 * $n }, 15),
        'replication goes on');
}

is(join(' ', $t->supervisor_pid, $t->litestream_pids), "@pids",
    'the same processes');

# the last commit of the application, then its answer

$db->insert(1, 'last');
$t->write_file('answer', '');

like(http_end($s), qr/ 200 .*done/s, 'the request was answered');
ok($t->quit(), 'quit');
is($t->exit_code, 0, 'exit code');
is($db->restore_count($url), 10, 'the last commit is in the replica');
is(join("\n", $t->read_log(qr/was not synced before the end/)), '',
    'nothing to complain of');
