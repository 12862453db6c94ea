#!/usr/bin/perl

# nginx-litestream verify and sync: what the endpoints answer, with exit codes;
# for root and the workers' user alone; through the death of a supervisor, and
# within their time.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::CLI;
use Test::Litestream::Command qw/ wait_for /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(44 - ($> && 5))
    ->expect_alerts(qr/litestream supervisor process \d+ exited on signal 9/);

my $dir = $t->testdir;
my $worker = ($t->worker_user)[0];

$t->fake();

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_restore  background;
    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;
    litestream_db       blog %%TESTDIR%%/blog/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOF

my $db = $t->db('app', rows => 7);
my $blog = $t->db('blog', rows => 3);
my $url = "file://$dir/replica/app";

$t->db_dir('replica');

for (qw/ verify sync /) {
    my ($rc, $out, $err) = cli($t, $_, 'app');

    is($rc, 3, "$_ before any nginx: exit code");
    like($err, qr/^nginx-litestream: nginx is not running: .*\n\z/,
        "$_ before any nginx");
}

$t->run();

is($t->waitforstate($_, 'replicating'), 'replicating', "$_ replicates")
    for qw/ app blog /;

# all is well

$db->insert(2);

my ($rc, $out, $err) = cli($t, 'sync', 'app');

is("$rc$err", '0', 'sync: exit code');
like($out, qr/^app: synced, transaction [0-9a-f]{16}, \d+ ms\n\z/, 'sync');
is($db->restore_count($url), 9, 'sync: it is there');

($rc, $out, $err) = cli($t, 'verify', 'app');

is("$rc$err", '0', 'verify: exit code');
like($out, qr/^app: verified, transaction [0-9a-f]{16}, \d+ ms\n\z/, 'verify');

($rc, $out) = cli($t, 'sync');

is($rc, 0, 'sync of all: exit code');
like($out, qr/\Aapp: synced.*\nblog: synced.*\n\z/, 'sync of all');
is((cli($t, 'sync', 'app', 'no'))[0], 2, 'one is unknown: exit code');

# -json: the members of the endpoints' answers, in their order

same('sync of one', 'sync/app', 'sync', 'app');
same('verify of one', 'verify/app', 'verify', 'app');
same('verify of all', 'verify', 'verify');

my $one = text((cli($t, 'sync', '-json', 'app'))[1]);

is(text((cli($t, 'sync', '-json'))[1]) =~ s/blog/app/r,
    '{"databases":[' . join(',', ($one =~ s/\n//r) x 2) . "]}\n",
    'sync of all: as of one');

# who may

is((cli($t, { user => $worker }, 'sync', 'app'))[0], 0,
    'the user of the workers');

if ($> == 0) {
    ($rc, $out, $err) = cli($t, { user => 12345 }, 'verify', '-json', 'app');

    is($rc, 1, 'somebody else: exit code');
    is($err, 'nginx-litestream: user 12345 may not ask the supervisor: run this '
        . "as root, or as the user of nginx's workers\n", 'somebody else');
    like(json($out)->{error}, qr/^user 12345 may not/, 'somebody else: JSON');

    # and who could connect, but is not to

    chmod 0777, "$dir/s/supervisor.sock";
    ($rc, $out, $err) = cli($t, { user => 12345 }, 'sync', 'app');

    is($rc, 1, 'refused: exit code');
    is($err, "nginx-litestream: the supervisor refuses: user 12345 may not ask\n",
        'refused');
}

chmod 0600, "$dir/s/supervisor.sock";

# the supervisor is killed: its successor is asked, while it does not know yet
# which Litestream it has

$t->fake_mode('restore: hang');

my ($pid, $said) = cli_start($t, 'verify', '-t', '60s', 'app');

ok($t->waituntil(sub { grep { $_->[2] =~ /^restore / } $t->fake_calls }),
    'it restores');

$t->fake_mode('version: sleep 1500');
$t->signal('KILL', $t->supervisor_pid);

is(wait_for($pid, 60), 0, 'killed: by the successor') or diag($said->());
is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
ok((grep { $_->[2] =~ /^version/ } $t->fake_calls) > 1, 'it was asked again');

# not in time: it goes on

$t->fake_mode('restore: hang');

my $begin = $t->now;

($rc, $out, $err) = cli($t, 'verify', '-json', '-t', '1s', 'app');

is($rc, 124, 'not in time: exit code');
cmp_ok($t->now - $begin, '<', $t->ceiling(4), 'not in time: not longer');
like($err, qr/"app": the verification has not ended in time, it goes on/,
    'not in time');
is(json($out)->{running}, 1, 'not in time: JSON');

# interrupted

($pid) = cli_start($t, 'verify', 'app');
$t->waituntil(sub { sockets($pid) });
kill 'INT', $pid;
is(wait_for($pid, 5), 130, 'interrupted');

$t->fake_mode();
$t->signal('KILL', $t->job_pids);

# the replica is denied

$t->waituntil(sub { (cli($t, 'verify', 'app'))[0] == 0 }, 40);

my @dirs = map { "$dir/replica/app$_" } '/ltx/0', '/ltx', '';

chmod 0000, @dirs;
$db->insert(1);

($rc, $out, $err) = cli($t, 'sync', '-t', '4s', 'app');

is($rc, 1, 'denied: exit code');
like($err, qr/^nginx-litestream: database "app": not synced: ./, 'denied: why');
is($out, '', 'denied: stdout');

($rc, $out, $err) = cli($t, 'sync', '-t', '4s', '-json');

is($rc, 1, 'denied, and one that is not: exit code');
is(join(' ', map { $_->{synced} } @{ json($out)->{databases} }), '0 1',
    'denied, and one that is not');

chmod 0755, reverse @dirs;

# nginx is down

$t->waituntil(sub { (cli($t, 'sync', 'app'))[0] == 0 }, 40);
ok($t->quit(), 'quit');

for (qw/ verify sync /) {
    ($rc, $out, $err) = cli($t, $_, '-json', 'app');

    is($rc, 3, "$_ while nginx is down: exit code");
    is(json($out)->{error}, 'no supervisor is running',
        "$_ while nginx is down");
}

($rc, $out, $err) = cli($t, 'sync', '-t', '0', 'app');
is($rc, 2, 'no time at all');


sub same {
    my ($name, $uri, @args) = @_;

    my ($rc, $out) = cli($t, shift(@args), '-json', @args);
    my $r = response(http_post("/litestream/$uri"));

    is(text($out), text($r->{body}), "-json: $name");
}


sub text { return $_[0] =~ s/:\d+/:N/gr =~ s/"[0-9a-f]{16}"/TXID/gr }

sub sockets {
    my ($pid) = @_;

    return (readlink("/proc/$pid/exe") // '') =~ /nginx-litestream$/
        && grep { (readlink($_) // '') =~ /^socket/ } glob "/proc/$pid/fd/*";
}
