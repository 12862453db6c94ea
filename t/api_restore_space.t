#!/usr/bin/perl

# POST restore without enough space, while the disk becomes full, and from a
# replica that may not be read: refused with the reason, nothing is left, and
# the database goes on.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(18);

my $dir = $t->testdir;

$t->fake();

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
            litestream_api  write=on;
        }
    }
}

EOF

my $replica = $t->db_dir('replica');
my $db = $t->db('app', size => 3000000);

$db->sql('PRAGMA wal_checkpoint(TRUNCATE);');
$db->replicate("file://$replica/app");
$db->remove();

# a small disk for the database and Litestream's own files, of which a start
# with a missing one makes some; a plain user has limits on files

my ($pid, $wrap) = $> == 0 ? $t->own_mount($db->dir, 'size=24m')
    : (0, ['sh', '-c', 'ulimit -f 400000; exec "$@"', 'sh']);
my $here = ($pid ? "/proc/$pid/root" : '') . $db->dir;

$t->run(wrap => $wrap);

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
$t->api('sync/app', method => 'POST', body => '');

# a file of the right size is not to be had

my $need = Test::Litestream::DB->new("$here/db.sqlite3")->size;
my $filler = $pid ? fill($need / 2) : patch(0x7fffffff);

my $r = restore();

is("$r->{status} $r->{restored}", '503 0', 'no space');
like($r->{error}, qr/not enough space in "\Q${\ $db->dir }\E" to restore: /,
    'no space: why');

my ($needed, $free) = $r->{error} =~ /(\d+) bytes are needed, (\d+) are free/;

cmp_ok($needed, '>=', $need, 'no space: bytes that are needed');
cmp_ok($free, '<', $needed, 'no space: bytes that are free');
is(left(), '', 'no space: nothing is left');

$pid ? unlink $filler : patch($filler);

# it becomes full meanwhile: there is room for half of it

$t->fake_mode('restore: await go');

my $s = http_post('/litestream/restore/app', '{}', start => 1);

ok($t->waituntil(sub { grep { $_->[2] =~ /-txid/ } $t->fake_calls }),
    'under way');

if ($pid) {
    $filler = fill($need / 2);

} else {
    $t->fake_mode('restore: stderr Error: write: no space left on device',
        'restore: exit 1');
}

$t->write_file('fake/go', '');

$r = finish($s);

if (!$pid) {
    $r = restore();
}

is("$r->{status} $r->{restored}", '503 0', 'full');
like($r->{error}, qr/restore from "\S+" failed: .*no space left on device/,
    'full: why');
is(left(), '', 'full: nothing is left');

unlink $filler if $pid;
$t->fake_mode();

$r = restore();
is("$r->{status} $r->{restored}", '200 1', 'with enough space')
    or diag($r->{error});

# Litestream goes on

is($t->api('sync/app', method => 'POST', body => '')->{synced}, 1, 'synced');

# denied

unlink glob "$here/*.restored-*";
chmod 0, "$replica/app" or die "chmod() failed: $!\n";

$r = restore();
is("$r->{status} $r->{restored}", '503 0', 'denied');
like($r->{error}, qr/replica ".*" cannot be read: open .*: permission denied/,
    'denied: why');
is($t->database('app')->{restored}{error}, $r->{error}, 'denied: status');
is(left(), '', 'denied: nothing is left');

chmod 0755, "$replica/app";

$r = restore();
is("$r->{status} $r->{restored}", '200 1', 'not denied any more')
    or diag($r->{error});
ok($t->stop(), 'stop');


sub restore {
    return finish(http_post('/litestream/restore/app', '{}', start => 1));
}


sub finish {
    my $r = response(http_end($_[0]));
    return { %{ json($r->{body}) }, status => $r->{status} };
}


sub left {
    opendir my $d, $here or die "opendir($here) failed: $!\n";
    return join ' ', sort grep { !/^\.\.?$|^db\.sqlite3(-wal|-shm|\.restored.*)?$
        |^\.db\.sqlite3-litestream$|^filler$/x } readdir $d;
}


# the disk, but so much; the file that does it

sub fill {
    my ($leave) = @_;

    my $file = "$here/filler";

    my ($rc, $out) = $t->command('stat', '-f', '-c', '%a %S', $here);
    my ($blocks, $size) = split ' ', $out;

    open my $f, '>', $file or die "open($file) failed: $!\n";

    for (my $n = $blocks * $size - $leave; $n > 0; $n -= 65536) {
        syswrite $f, 'x' x ($n < 65536 ? $n : 65536);
    }

    return $file;
}


# the newest file of the replica says that the database has so many pages: what
# it said before

sub patch {
    my ($n) = @_;

    my ($ltx) = reverse sort glob "$replica/app/ltx/*/*.ltx";

    open my $f, '+<', $ltx or die "open($ltx) failed: $!\n";
    seek $f, 12, 0;
    read $f, my $old, 4;
    seek $f, 12, 0;
    print $f pack 'N', $n;

    return unpack 'N', $old;
}
