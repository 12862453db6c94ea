#!/usr/bin/perl

# A replica that is damaged is not an empty one: nginx does not start when a
# database is missing then, says why, and has made nothing.  What can still be
# restored completely is restored.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(37);

my $dir = $t->testdir;

$t->write_file_expand('nginx.conf', <<'EOC');

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
    }
}

EOC

# five transactions, all of them in a snapshot, too

my $replica = $t->db_dir('replica') . '/app';
my $url = "file://$replica";
my $db = $t->db('app', rows => 1, size => 100000);

for (2 .. 5) {
    $db->replicate($url);
    $db->insert(1);
}

$db->replicate($url, args => [ '-force-snapshot' ]);
$db->remove();

my $snapshot = "9/0000000000000001-0000000000000005.ltx";
my @l0 = map { sprintf '0/%016d-%016d.ltx', $_, $_ } 0 .. 5;

is(join(' ', map { s!.*/ltx/!!r } sort glob "$replica/ltx/*/*"),
    "@l0[1 .. 5] $snapshot", 'the replica');

rename $replica, "$dir/good" or die "rename() failed: $!\n";

my $before = $t->tree($db->dir);

# the snapshot

refused('cut', qr/decode|EOF/, sub { truncate ltx($snapshot), 4000 });
refused('header alone', qr/decode/, sub { truncate ltx($snapshot), 100 });
refused('empty', qr/0 bytes/, sub { truncate ltx($snapshot), 0 });
refused('no header', qr/invalid LTX/, sub { overwrite($snapshot, 0) });
refused('one byte', qr/checksum|decode|corrupt/,
    sub { overwrite($snapshot, 5000) });

# files are gone

refused('no base', qr/holds 4 LTX files, but nothing.*damaged/,
    sub { unlink ltx($snapshot), ltx($l0[1]) });
refused('a gap', qr/non-contiguous/,
    sub { unlink ltx($snapshot), ltx($l0[3]) });
refused('the last of the chain cut', qr/decode|EOF/,
    sub { unlink ltx($snapshot); truncate ltx($l0[5]), 120 });
refused('not LTX files', qr/invalid LTX/, sub {
    unlink ltx($snapshot);
    overwrite($_, 0) for @l0[1 .. 5];
});

# enough is left

for (
    [ 'no snapshot', sub { unlink ltx($snapshot) } ],
    [ 'no level 0', sub { unlink map { ltx($_) } @l0[1 .. 5] } ],
    [ 'what the snapshot covers', sub { unlink ltx($l0[3]) } ],
) {
    my ($name, $damage) = @$_;

    set($damage);

    my ($rc, $err) = $t->try_run();

    is($rc, 0, "$name: nginx starts") or diag($err);
    is($db->count, 5, "$name: rows");

    $t->stop();
    $db->remove();
}

# the newest transaction is gone: that cannot be told from the replica, but it
# was seen there

set();
$t->run();
$t->stop();
$db->remove();

set(sub { unlink ltx($snapshot), ltx($l0[5]) });

my ($rc, $err) = $t->try_run();

is($rc, 0, 'the newest: nginx starts') or diag($err);
is($db->count, 4, 'the newest: rows');
is(scalar(my @lines = $t->read_log(
    qr/\[warn\].*"app".*0000000000000004.*000000000000000[5-9] was seen/)), 1,
    'the newest: the log warns');


sub ltx { return "$replica/ltx/$_[0]" }


sub overwrite {
    my ($name, $at) = @_;

    open my $f, '+<', ltx($name) or die "open($name) failed: $!\n";
    seek $f, $at, 0;
    print $f "\x55\xaa\x55\xaa";
    close $f;
}


sub set {
    my ($damage) = @_;

    $t->command('rm', '-rf', $replica);
    $t->command('cp', '-a', "$dir/good", $replica);
    $damage->() if $damage;
}


sub refused {
    my ($name, $why, $damage) = @_;

    set($damage);

    my ($rc, $err) = $t->try_run();

    isnt($rc, 0, "$name: nginx does not start");
    like($err, qr/\[emerg\] litestream: database "app": .*\Q$url\E.*$why/,
        "$name: it says why");
    is_deeply($t->tree($db->dir), $before, "$name: nothing was made");

    $t->stop() unless $rc;
}
