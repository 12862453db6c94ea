#!/usr/bin/perl

# nginx-litestream wait, when a database cannot be restored: a replica that is
# denied ends it, and with it the start of an application's unit, with the
# reason; a storage that cannot be reached may come back, and is waited for.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::CLI;
use Test::Litestream::Command qw/ wait_for /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(24);

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

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

my $db = $t->db('app', rows => 3);
my $replica = $t->db_dir('replica') . '/app';

$db->replicate("file://$replica");
$db->remove();

chmod 0000, $replica;

my $denied = qr/permission denied/;

# a unit as the drop-in makes it

$t->write_file('unit', "#!/bin/sh\n" . cli_path($t)
    . " wait -path $dir/s app || exit \$?\necho started >$dir/started\n");
chmod 0755, "$dir/unit";

my $begin = $t->now;
my ($pid, $said) = cli_start($t, 'wait', '-t', '60s', 'app');

$t->run();

my ($rc, $out, $err) = $t->command("$dir/unit");

is($rc, 1, 'the unit does not start');
like($err, qr/not waiting any longer: database "app": .*$denied/,
    'it says why');
ok(!-e "$dir/started", 'its program was not run');

is(wait_for($pid, 30), 1, 'nor goes on who waits with a limit');
like($said->(), qr/\A\S+: waiting: .*\n\S+: waiting for database .*$denied.*\n
    \S+:\ not\ waiting\ any\ longer:\ database\ "app":\ .*\n\z|$denied/x,
    'the reason');
cmp_ok($t->now - $begin, '<', $t->ceiling(30), 'after a short while');

($rc, $out, $err) = cli($t, 'wait', '-t', '0', 'app');

is($rc, 1, 'asked once: exit code');
like($err, qr/^nginx-litestream: (.*$denied|.*restoring)/, 'asked once: why');

# time is up before it is certain

($rc, $out, $err) = cli($t, 'wait', '-t', '100ms', 'app');

is($rc, 124, 'time is up: exit code');
like($err, qr/time is up: database "app": ./, 'time is up: why');

like((cli($t, 'status'))[1], qr/\n    error: .*$denied/, 'in the status');

# mended while somebody waits, who did not see it fail twice

($pid, $said) = cli_start($t, 'wait', '-t', '90s', 'app');
$t->waituntil(sub { $said->() =~ $denied });
chmod 0755, $replica;

is(wait_for($pid, 60), 0, 'mended: in place') or diag($said->());
is($db->count, 3, 'mended: rows');

# a storage that cannot be reached

ok($t->quit(), 'quit');
$db->remove();
$t->fake_mode('ltx: times 3', 'ltx: stderr dial tcp 192.0.2.1:443: connect:'
    . ' connection refused', 'ltx: exit 1');
$t->run();

($pid, $said) = cli_start($t, 'wait', '-t', '90s', 'app');

is(wait_for($pid, 60), 0, 'unreachable: it is waited for') or diag($said->());
like($said->(), qr/connection refused/, 'unreachable: said');
is($db->count, 3, 'unreachable: rows');

# restore=off: nobody will bring it

ok($t->quit(), 'quit');
$db->remove();
$t->fake_mode();
$t->write_file('nginx.conf', $t->read_file('nginx.conf')
    =~ s!(litestream_db .*);!$1 restore=off;!r);
$t->run();

($rc, $out, $err) = cli($t, 'wait', 'app');

is($rc, 1, 'restore=off: exit code');
like($err, qr/not waiting any longer: database "app": ./, 'restore=off: why');

# and a damaged one

ok($t->quit(), 'quit');
$t->write_file('nginx.conf', $t->read_file('nginx.conf') =~ s! restore=off!!r);

for (glob "$replica/ltx/*/*.ltx") {
    open my $f, '+<', $_ or die "open($_) failed: $!\n";
    seek $f, 120, 0;
    print $f "\xff" x 64;
    close $f;
}

$t->run();

($rc, $out, $err) = cli($t, 'wait', '-t', '60s', 'app');

is($rc, 1, 'damaged: exit code');
like($err, qr/not waiting any longer: database "app": ./, 'damaged: why');
ok(!-e $db->path, 'nothing was made');
