#!/usr/bin/perl

# nginx-litestream restore never replaces anything and leaves nothing behind:
# files that are there, or come meanwhile, side files, directories that are
# missing or another user's, a database in nginx's care, an empty or a damaged
# replica, a storage that hangs, a signal.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::CLI;
use Test::Litestream::Command qw/ wait_for /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(75 - ($> && 1));

my $dir = $t->testdir;

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
    litestream_db       new %%TESTDIR%%/new/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

my $db = $t->db('app', rows => 7);
my ($user, undef, $uid) = $t->user;

$t->db_dir($_) for qw/ new replica /;
$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
is($t->waitforstate('new', 'new'), 'new', 'new');

my $url = "file://$dir/replica/app";
my $to = "$dir/app/copy";

# usage

usage('restore never replaces a file: without -o it makes a new one',
    '-force', 'app');
usage('-txid or -timestamp, not both', '-txid', '0' x 16, '-timestamp',
    '2026-01-01T00:00:00Z', 'app');
usage("invalid transaction \"$_\": it has 16 hex digits, as ltx shows them",
    '-txid', $_, 'app') for '0' x 17, 'g' x 16, '1g', '';
usage('invalid transaction "2a": it has 16 hex digits, as ltx shows them, like '
    . '000000000000002a', '-txid', '2a', 'app');
usage("invalid time \"$_\": say 2006-01-02T15:04:05Z, or "
    . '2006-01-02T15:04:05+01:00', '-timestamp', $_, 'app')
    for 'yesterday', '2026-01-01 00:00:00', '2026-01-01T00:00:00',
        '2026-01-01T00:00:00.Z', '2026-01-01T00:00:00+0100', '';
usage('invalid -integrity-check "some": say none, quick or full',
    '-integrity-check', 'some', 'app');
usage('invalid -parallelism "0": say a number', '-parallelism', '0', 'app');
usage('restore of a URL needs -o FILE', "file://$dir/elsewhere");
usage('-follow-interval is for -f', '-follow-interval', '1s', 'app');
usage('-f needs -o FILE, and goes with -follow-interval and -integrity-check '
    . 'only', '-f', 'app');
usage("\"$dir/new/db.sqlite3\" is a database of nginx: say another -o FILE",
    '-f', '-o', "$dir/new/db.sqlite3", 'app');
usage('"app": -replica, -generation and -index are of Litestream 0.3',
    '-index', '1', 'app');
usage('unknown database "no"', 'no');

# what is there already

refused("\"$to$_\"" . ($_ ? ' is there, SQLite would take it for the restored '
    . "file's: move it away" : ' exists, nothing is restored over it'), $_)
    for '', '-wal', '-shm', '-journal';

symlink '/nonexistent', $to;
refused("\"$to\" exists, nothing is restored over it", undef);
unlink $to;

is((cli($t, 'restore', '-o', "$dir/app/", 'app'))[2],
    "nginx-litestream: \"$dir/app/\" exists, nothing is restored over it\n",
    'a directory');
is((cli($t, 'restore', '-o', "$dir/no/copy", 'app'))[2],
    "nginx-litestream: directory \"$dir/no\" is missing\n",
    'no such directory');
if ($> == 0) {
    is((cli($t, 'restore', '-o', "$dir/copy", 'app'))[2],
        "nginx-litestream: user $user, who is to restore it, may not write in "
        . "\"$dir\": Permission denied\n", 'a directory of somebody else');
}

# what nginx cares for

my ($rc, $out, $err) = cli($t, 'restore', '-if-db-not-exists', 'app');

is("$rc$err", '0', 'there: exit code');
is($out, "app: nothing is restored to $dir/app/db.sqlite3: the file is "
    . "there\n", 'there');

($rc, $out, $err) = cli($t, 'restore', '-if-db-not-exists', 'new');

is($rc, 1, 'in the care of nginx: exit code');
like($err, qr/^\S+\ database\ "new"\ is\ in\ the\ care\ of\ process\ \d+
    \ \(.+\):\ restore\ works\ while\ nginx\ is\ down\n\z/x,
    'in the care of nginx');

# an empty replica

($rc, $out, $err) = cli($t, 'restore', 'new');

is("$rc$out$err", "1nginx-litestream: \"new\": not restored: there is no "
    . "backup\n", 'no backup');

($rc, $out, $err) = cli($t, 'restore', '-if-replica-exists', '-json', 'new');

is("$rc$err", '0', 'no backup, and that is right: exit code');
is(json($out)->{reason}, 'there is no backup', 'no backup, and that is right');

# somebody is faster

$t->fake_mode('restore: await go');
$t->write_file('fake/calls', '');

my ($pid, $said) = cli_start($t, 'restore', '-o', $to, 'app');

$t->waituntil(sub { calls('restore') });
$t->write_file($to, 'mine');
$t->write_file('fake/go', '');

is(wait_for($pid, 20), 1, 'made meanwhile: exit code');
is($said->(), "nginx-litestream: \"$to\" was made by somebody else meanwhile, "
    . "nothing is restored over it\n", 'made meanwhile');
is($t->read_file($to), 'mine', 'made meanwhile: left alone');
unlink $to;

# it hangs: half of a file

my $size = 3 * 4096;

$t->fake_mode("restore: partial $size", 'restore: hang');

($rc, $out, $err) = cli($t, 'restore', '-t', '1s', '-o', $to, 'app');

is($rc, 124, 'no progress: exit code');
is($err, 'nginx-litestream: "app": not restored: Litestream made no progress '
    . "within 1 s, it was ended\n", 'no progress');
nothing('no progress');

# a signal, with half of a file there

for (['TERM', 143], ['INT', 130], ['HUP', 129]) {
    my ($sig, $code) = @$_;

    ($pid) = cli_start($t, 'restore', '-o', $to, 'app');
    ok($t->waituntil(sub { grep { -s } glob "$dir/app/.copy.*.tmp" }),
        "$sig: half of it");

    kill $sig, $pid;

    is(wait_for($pid, 5), $code, "$sig: exit code");
    nothing($sig);
    is(join(' ', $t->job_pids), '', "$sig: no Litestream");
}

# kill -9: Litestream goes, too

($pid) = cli_start($t, 'restore', '-o', $to, 'app');
$t->waituntil(sub { grep { -s } glob "$dir/app/.copy.*.tmp" });
kill 'KILL', $pid;
is(wait_for($pid, 5), 137, 'KILL: exit code');
ok($t->waituntil(sub { !running('restore') }), 'KILL: no Litestream');
unlink glob "$dir/app/.copy.*";

# the progress of a restore on a terminal

my @pty = ('python3', '-c', 'import os, pty, sys; '
    . 'sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))');

$t->fake_mode("restore: only -json -integrity", "restore: partial $size",
    'restore: sleep 1000');

($rc, $out) = $t->command(@pty, cli_path($t), 'restore', '-path', "$dir/s",
    '-o', $to, 'app');

is($rc, 0, 'terminal: exit code') or diag($out);
like($out, qr/\r\e\[Kapp: 12\.0K of 20\.0K\r\e\[K/, 'terminal: progress');
like($out, qr/\r\e\[Kapp: restored to \Q$to\E, /, 'terminal: the end');
unlink $to;

($rc, $out, $err) = cli($t, 'restore', '-o', $to, 'app');
is("$rc$err", '0', 'no terminal: no progress');
unlink $to;

# one that goes on

$t->fake_mode();

($pid) = cli_start($t, 'restore', '-f', '-follow-interval', '100ms', '-o',
    $to, 'app');

my $copy = Test::Litestream::DB->new($to, user => $user);

ok($t->waituntil(sub { -s $to }, 30), '-f: a file');
$db->insert(1);
is((cli($t, 'sync', 'app'))[0], 0, '-f: synced');
ok($t->waituntil(sub { $copy->count == 8 }, 30), '-f: it follows');
kill 'TERM', $pid;
is(wait_for($pid, 10), 0, '-f: ends');
unlink glob "$to*";

# by whom

is(join(' ', sort { $a <=> $b } keys %{ { map { $_->[1] => 1 }
    grep { $_->[2] =~ /^(restore|ltx) / } $t->fake_calls } }), $uid,
    'always by the user of the database');
is(join(' ', grep { !/^db\.sqlite3/ } $db->beside), '', 'nothing is left');

# a damaged replica

ok($t->quit(), 'quit');

rename $_, "$_.away" for glob "$dir/replica/app/ltx/*/0000000000000001-*";

($rc, $out, $err) = cli($t, 'restore', '-if-replica-exists', 'app');

is("$rc$out", '1', 'damaged: exit code');
like($err, qr/^nginx-litestream: "app": not restored: ./, 'damaged');

rename $_, s/\.away$//r for glob "$dir/replica/app/ltx/*/*.away";

# in its place, while nginx is down

$db->remove();

($rc, $out, $err) = cli($t, 'restore', '-if-db-not-exists', $db->path);

is("$rc$err", '0', 'in its place: exit code');
is($db->count, 8, 'in its place');

# of a URL

($rc, $out, $err) = cli($t, { env => { PATH => "$dir/fake:$ENV{PATH}" } },
    'restore', '-o', "$dir/replica/copy", "file://$dir/replica/app/");

is("$rc$err", '0', 'of a URL: exit code');
like($out, qr!^file://\S+: restored to \Q$dir\E/replica/copy, !, 'of a URL');


sub usage {
    my ($why, @args) = @_;

    my ($rc, $out, $err) = cli($t, { env => { PATH => "$dir/fake" } },
        'restore', @args);

    is("$rc$out$err", "2nginx-litestream: $why\n", $why);
}


sub refused {
    my ($why, $tail) = @_;

    $t->write_file("$to$tail", '') if defined $tail;

    my ($rc, $out, $err) = cli($t, 'restore', '-o', $to, 'app');

    is("$rc$out$err", "1nginx-litestream: $why\n", $why);
    unlink "$to$tail" if defined $tail;
}


sub nothing {
    my ($name) = @_;
    is(join(' ', $db->beside), '', "$name: nothing is left");
}


sub calls { return grep { $_->[2] =~ /^$_[0] / } $t->fake_calls }


sub running {
    my ($command) = @_;
    return grep { (Test::Litestream::Proc::cmdline($_) // '')
        =~ m!\Q$dir\E/fake/litestream $command ! } Test::Litestream::Proc::pids();
}
