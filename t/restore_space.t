#!/usr/bin/perl

# Not enough space for a restored file: nginx does not start, says how much is
# needed and how much is free, and has not filled the disk.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(9);

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

my $replica = $t->db_dir('replica');
my $db = $t->db('app', size => 3000000);

$db->sql('PRAGMA wal_checkpoint(TRUNCATE);');

$db->replicate("file://$replica/app");

# Litestream's own tables came with it

my $size = $db->restore("file://$replica/app")->size;

$db->remove();

my ($ltx, $pages);
my ($need, $wrap, $app) = $> == 0 ? disk() : large();
my $before = $t->tree($app);
my ($rc, $err) = $t->try_run(wrap => $wrap);

isnt($rc, 0, 'nginx does not start');
like($err, qr/\[emerg\].*"app": not enough space in "\Q@{[ $db->dir ]}\E"/,
    'it says why');

my ($needed, $free) = $err =~ /(\d+) bytes are needed, (\d+) are free/;

is($needed, $need, 'bytes that are needed');
cmp_ok($free, '<', $need, 'bytes that are free');
is_deeply($t->tree($app), $before, 'nothing was made');

# it runs out while the file is written: a limit on its size does the same

shrink() if $> != 0;

my @limit = ('sh', '-c', 'ulimit -f 2000; exec "$@"', 'sh');

$before = $t->tree($db->dir);
($rc, $err) = $t->try_run(wrap => \@limit);

isnt($rc, 0, 'written: nginx does not start');
like($err, qr/\[emerg\].*"app": restore from .* failed: .*file too large/,
    'written: it says why');
is_deeply($t->tree($db->dir), $before, 'written: nothing is left');

# with enough space

($rc, $err) = $t->try_run();

is($rc, 0, 'then nginx starts') or diag($err);


# a small disk, in a mount namespace that a process keeps

sub disk {
    my ($pid, $wrap) = $t->own_mount($db->dir, 'size=2m');

    return ($size, $wrap, "/proc/$pid/root" . $db->dir);
}


# a database that says that it is larger than any disk

sub large {
    ($ltx) = glob "$replica/app/ltx/0/*";
    $pages = patch(0xffffffff);

    return (0xffffffff * 4096, [], $db->dir);
}


sub shrink { patch($pages) }


sub patch {
    my ($n) = @_;

    open my $f, '+<', $ltx or die "open($ltx) failed: $!\n";
    seek $f, 12, 0;
    read $f, my $old, 4;
    seek $f, 12, 0;
    print $f pack 'N', $n;

    return unpack 'N', $old;
}
