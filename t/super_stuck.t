#!/usr/bin/perl

# The supervisor is killed, and its Litestream hangs, so that it cannot end by
# itself and keeps the lock: the next supervisor waits for
# litestream_shutdown_timeout, kills it, and takes over.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ alive /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(11)
    ->expect_alerts(qr/litestream supervisor process \d+ exited on signal 9/);

my $dir = $t->testdir;
my $url = "file://$dir/replica/app";

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_shutdown_timeout  1s;

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
$t->db_dir('replica');

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

my ($pid) = $t->litestream_pids;
my $super = $t->supervisor_pid;

$t->signal('STOP', $pid);
$db->insert(5, 'pending');
$t->signal('KILL', $super);

my $new = $t->waituntil(sub {
    my $now = $t->supervisor_pid;
    return $now && $now != $super ? $now : 0;
});

ok($new, 'another supervisor');
is(join(' ', $t->litestream_pids), '', 'which waits for the lock');
like(http_get('/litestream/ready'), qr/ 200 /, 'the site is served');

ok($t->waituntil(sub { !alive($pid) }, 15), 'the old Litestream was killed');
like(join("\n", $t->read_log(qr/litestream process $pid of a dead supervisor/)),
    qr/\[error\].*did not end in time, killed/, 'the log says so');

ok($t->waituntil(sub { ($t->status()->{supervisor}{pid} // 0) == $new }, 15),
    'it has taken over');
is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating again');
ok($t->waituntil(sub { $db->restore_count($url) == 8 }, 15),
    'nothing was lost');
is($t->supervisor_pid, $new, 'it is still the same');
ok($t->quit(), 'quit');
