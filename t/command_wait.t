#!/usr/bin/perl

# nginx-litestream wait: until a database is in place, as any user, before
# nginx runs and while a reload restores in the background; an application's
# unit that waits with it starts when its database is there.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::CLI;
use Test::Litestream::Command qw/ wait_for /;
use Test::Litestream::Proc qw/ alive /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(43);

my $dir = $t->testdir;
my $user = ($t->user)[0];

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
my $shop = $t->db('shop', rows => 5, size => 300000);

$t->db_dir($_) for qw/ replica new /;

$shop->replicate("file://$dir/replica/shop");
$shop->remove();

# asked once, while nothing is there

my ($rc, $out, $err) = cli($t, 'wait', '-t', '0', 'app');

is($rc, 1, 'not running: exit code');
is($err, "nginx-litestream: nginx is not running: there is no "
    . "\"$dir/s/status\"\n", 'not running: one line');

my $begin = $t->now;

($rc, $out, $err) = cli($t, 'wait', '-t', '1s', 'app');

is($rc, 124, 'time is up: exit code');
cmp_ok($t->now - $begin, '>=', 1, 'time is up: not before');
like($err, qr/\A\S+: \ waiting:\ nginx\ is\ not\ running:\ .*\n
    \S+:\ time\ is\ up:\ nginx\ is\ not\ running:\ .*\n\z/x,
    'time is up: said once, and at the end');

# who waits before nginx is there

my ($pid, $said) = cli_start($t, { user => $user }, 'wait', 'app');

ok($t->waituntil(sub { $said->() =~ /nginx is not running/ }), 'waits');
ok(alive($pid), 'goes on');
cmp_ok(ticks($pid), '<', 20, 'and is not busy with it');

$t->run();

is(wait_for($pid, 20), 0, 'nginx runs: in place') or diag($said->());

is((cli($t, 'wait', '-t', '0', 'all'))[0], 0, 'asked once: all');

($rc, $out, $err) = cli($t, { user => $user }, 'wait', '-t', '0', 'app');

is("$rc$out$err", '0', 'asked once: nothing more to say');
is((cli($t, 'wait', 'app', "$dir/app/db.sqlite3"))[0], 0, 'by its path');

# one that nginx does not know: perhaps it will

($rc, $out, $err) = cli($t, 'wait', '-t', '0', 'shop');

is($rc, 1, 'unknown, asked once: exit code');
is($err, "nginx-litestream: unknown database \"shop\"\n",
    'unknown, asked once');

($rc, $out, $err) = cli($t, 'wait', '-t', '500ms', 'app', 'shop');

is($rc, 124, 'unknown, for a while: exit code');
like($err, qr/database "shop": nginx does not know it\n.*time is up/,
    'unknown, for a while');

# a unit as the drop-in makes it: it waits, and then starts

my $conf = $t->read_file('nginx.conf');

$t->fake_mode('restore: sleep 2500');
$t->write_file('unit', "#!/bin/sh\n" . cli_path($t)
    . " wait -path $dir/s shop new || exit \$?\n"
    . "[ -s $dir/shop/db.sqlite3 ] && echo started >$dir/started\n"
    . "exec sleep 600\n");
chmod 0755, "$dir/unit";

my $unit = $t->run_daemon("$dir/unit");

$t->write_file('nginx.conf', $conf =~ s!^( *litestream_db)!<<EOC!mer);
    litestream_db  shop $dir/shop/db.sqlite3;
    litestream_db  new $dir/new/db.sqlite3;
$1
EOC

($pid, $said) = cli_start($t, 'wait', 'shop');

ok($t->reload(), 'reload');
is($t->waitforstate('shop', 'restoring'), 'restoring', 'restoring');
is((cli($t, 'wait', '-t', '0', 'shop'))[0], 1, 'not yet');
ok($t->waituntil(sub { $said->() =~ /"shop": restoring/ }), 'it is said');
ok(!-e "$dir/started", 'the unit waits');
is((cli($t, 'wait', '-t', '0', 'app'))[0], 0, 'another does not');

($rc, $out) = cli($t, 'status', 'shop');

is($rc, 1, 'its status: exit code');
like($out, qr/^shop +restoring/m, 'its status');

is(wait_for($pid, 20), 0, 'restored');
like($said->(), qr/database "shop" is in place\n\z/, 'restored: it is said');
ok($t->waitforfile('started'), 'the unit starts, with its database');
is($shop->count, 5, 'rows');
is((cli($t, 'wait', '-t', '20s', 'all'))[0], 0, 'all, one of them is new');
is((cli($t, 'status', 'new'))[1] =~ /^new +new/m, 1, 'new');

$t->stop_daemon($unit);

# signals

for (qw/ INT TERM /) {
    ($pid, $said) = cli_start($t, 'wait', 'nobody');
    $t->waituntil(sub { $said->() =~ /nobody/ });
    kill $_, $pid;
    is(wait_for($pid, 5), $_ eq 'INT' ? 130 : 143, $_);
    is(() = $said->() =~ /\n/g, 1, "$_: nothing more to say");
}

# a name that stays unknown

$begin = $t->now;

($rc, $out, $err) = cli($t, { ceiling => 40 }, 'wait', 'nobody');

is($rc, 2, 'unknown for good: exit code');
like($err, qr/not waiting any longer: unknown database "nobody"\n\z/,
    'unknown for good');
cmp_ok($t->now - $begin, '>=', 9, 'unknown for good: not at once');

# one that was deleted

$db->remove();
is($t->waitforstate('app', 'error'), 'error', 'deleted');

($rc, $out, $err) = cli($t, { ceiling => 40 }, 'wait', 'app');

is($rc, 1, 'deleted: exit code');
like($err, qr/not waiting any longer: database "app": .*(deleted|missing)/,
    'deleted: why');

# nginx ends while somebody waits, and comes back

($pid, $said) = cli_start($t, 'wait', 'app');
$t->waituntil(sub { $said->() =~ /app/ });
ok($t->quit(), 'quit');
ok($t->waituntil(sub { $said->() =~ /waiting: nginx is not running\n/ }),
    'it waits for another');
$t->fake_mode();
$t->run();
is(wait_for($pid, 20), 0, 'which restores it') or diag($said->());


sub ticks {
    my ($pid) = @_;

    my $text = $t->read_file("/proc/$pid/stat") // '';
    my @stat = split ' ', $text =~ s/.*\) //sr;

    return $stat[11] + $stat[12];
}
