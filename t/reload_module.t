#!/usr/bin/perl

# load_module is removed by a reload and comes back by another one, while
# processes end: the master, which knows processes by what is in the module,
# does not crash.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ alive /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(27)
    ->expect_alerts(qr/process \d+ exited on signal 9/);

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
            litestream_api;
        }
    }
}

EOF

my $db = $t->db('app', rows => 3);
my $rows = 3;

$t->db_dir('replica');
$t->write_file('index.html', 'a page');

my $conf = $t->read_file('nginx.conf');
my $without = $conf =~ s/^ *(load_module|litestream_).*//mgr;

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

my $master = $t->master_pid;

for my $n (1 .. 3) {
    my $super = $t->supervisor_pid;
    my ($pid) = $t->litestream_pids;

    # the last one: it has no time to end by itself

    $rows = $db->insert(2);
    $t->write_file('nginx.conf', $without);
    $t->signal('STOP', $pid) if $n == 3;

    ok($t->reload(), "$n: removed");

    $t->signal('KILL', $super) if $n == 3;
    $t->signal('CONT', $pid) if $n == 3;

    ok($t->waituntil(sub { !alive($super) && !alive($pid) }, 15),
        "$n: the supervisor and Litestream have gone");

    # processes end, the master looks at what it knows of them

    kill_worker();
    ok($t->reload(), "$n: reload without it");
    kill_worker();

    like(http_get('/index.html'), qr/ 200 /, "$n: the site is served");

    $t->write_file('nginx.conf', $conf);

    ok($t->reload(), "$n: put back");
    is($t->waitforstate('app', 'replicating'), 'replicating',
        "$n: replicating again");
    ok($t->waituntil(sub { $db->restore_count($url) == $rows }, 15),
        "$n: nothing was lost");

    kill_worker();

    is($t->master_pid, $master, "$n: the same master");
}

like(http_post('/litestream/sync/app'), qr/"synced":true/, 'sync');
ok($t->quit(), 'quit');


sub kill_worker {
    my ($old) = $t->worker_pids;

    $t->signal('KILL', $old);
    $t->waituntil(sub {
        my ($now) = $t->worker_pids;
        return $now && $now != $old;
    });
}
