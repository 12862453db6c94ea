#!/usr/bin/perl

# All of nginx as a plain user, with a state path of its own: restore,
# replication, reload, kills, the end.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Command qw/ ids /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(22)
    ->expect_alerts(qr/litestream supervisor process \d+ exited on signal 9/);

my $dir = $t->testdir;
my ($user, $group, $uid, $gid) = $t->user;
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

# what a plain user would have

$t->state_path("$dir/home/a/b/state");
$t->write_file_expand('nginx.conf', $t->read_file('nginx.conf')
    =~ s!(litestream_state_path) \S+;!$1 $dir/home/a/b/state;!r);

my $home = $t->db_dir('home');
my $db = $t->db('app', rows => 3);

$t->db_dir('replica');
$t->write_file($_, '') for qw/ error.log stderr.log access.log /;

if ($> == 0) {
    chown $uid, $gid, $dir, glob "$dir/*.log";
}

my @as = $> == 0 ? ('setpriv', "--reuid=$uid", "--regid=$gid",
    '--clear-groups', '--') : ();

$t->run(wrap => \@as);

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

my @pids = ($t->master_pid, $t->worker_pids, $t->supervisor_pid,
    $t->litestream_pids);

is(scalar @pids, 4, 'processes');
is(join(' ', map { $t->uid_of($_)->{uid}[0] } @pids), join(' ', ($uid) x 4),
    'all are the plain user');

$db->insert(2);
like(http_post('/litestream/sync/app'), qr/"synced":true/, 'sync');
like(http_post('/litestream/verify/app'), qr/"verified":true/, 'verify');
is($db->restore_count($url), 5, 'replicated');

# reload, the same and another configuration

my $conf = $t->read_file('nginx.conf');

ok($t->reload(), 'reload');
is(join(' ', $t->supervisor_pid, $t->litestream_pids), "@pids[2, 3]",
    'the same supervisor and Litestream');

$t->write_file('nginx.conf',
    $conf =~ s/^( *litestream_db)/    litestream_shutdown_timeout 20s;\n$1/mr);
ok($t->reload(), 'reload with a change');
ok($t->waituntil(sub {
    my ($now) = $t->litestream_pids;
    return $now && $now != $pids[3] && 1 == $t->supervisor_pids;
}, 15), 'another supervisor and Litestream');
is($t->waitforstate('app', 'replicating'), 'replicating',
    'replicating again');

# the supervisor is killed

my $super = $t->supervisor_pid;

$t->signal('KILL', $super);
ok($t->waituntil(sub {
    my $st = $t->status()->{supervisor};
    return $st->{pid} && $st->{pid} != $super;
}, 15), 'killed: another supervisor');
is($t->waitforstate('app', 'replicating'), 'replicating',
    'killed: replicating again');

$db->insert(1);
ok($t->quit(), 'quit');
is($t->exit_code, 0, 'exit code');
is($db->restore_count($url), 6, 'the last commit is in the replica');

# the machine is lost

$db->remove();
$t->run(wrap => \@as);

is($db->count, 6, 'restored');
is((stat $db->path)[4], $uid, 'it belongs to the user');
is($t->waitforstate('app', 'replicating'), 'replicating', 'and replicating');
is($t->status()->{databases}[0]{restore}{state}, 'done', 'as the status tells');
ok($t->stop(), 'stop');
is(join("\n", $t->read_log(qr/\[(crit|error|emerg)\](?!.*(exited|died))/)), '',
    'no errors');
