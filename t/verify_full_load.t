#!/usr/bin/perl

# POST verify?mode=full of a database of 100 MB while an application commits
# some 200 times a second: true, and commits go on meanwhile; nothing is locked
# while the copy is restored.  False with the reason as soon as one byte of the
# database or of its replica is another one.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(30);

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

my $db = $t->db('app', size => 100_000_000);

$db->sql("UPDATE pad SET data = CAST('some-mark' || data AS BLOB)"
    . ' WHERE id = 700;');

$t->db_dir('replica');
$t->run();

is($t->waitforstate('app', 'replicating', 60), 'replicating', 'replicating');
ok($t->waituntil(sub { snapshots(9) }, 60), 'a snapshot');

my $writer = $db->writer(rate => 500);

ok($writer->wait(50), 'commits');

# true, while they go on

for (1 .. 3) {
    my $before = acked();
    my $begin = $t->now;
    my $r = verify();
    my $n = acked() - $before;
    my $took = $t->now - $begin;

    is("$r->{status} $r->{verified} $r->{mode}", '200 1 full', "true $_")
        or diag($r->{error});
    cmp_ok($n, '>', 10, "commits meanwhile $_");
    cmp_ok($r->{steps}{compare_ms}, '>', 0, "compared $_");

    note(sprintf '%d commits in %.1f s: %s', $n, $took, join ', ',
        map { "$_ $r->{steps}{$_}" } sort keys %{ $r->{steps} });
}

# while the copy is restored, nothing of the database is held

$t->fake_mode('restore: await go');

my $n = restores();
my $s = http_post('/litestream/verify/app?mode=full', '', start => 1);

ok($t->waituntil(sub { restores() > $n }, 60), 'a copy is about to be restored');

ok(!$db->locked($t->job_pids), 'no lock of a reader');

my $before = acked();

ok($t->waituntil(sub { acked() > $before + 50 }), 'commits');
ok($t->waituntil(sub { -s $db->path . '-wal' < 50_000_000 }), 'a small WAL');

# a row of the database is changed meanwhile: it was read before

is(patch('some-mark', 'SOME-mark'), 1, 'a row is changed');
$t->fake_mode();
$t->write_file('fake/go', '');

my $r = finish($s);

is("$r->{status} $r->{verified}", '200 1', 'what came later does not count')
    or diag($r->{error});

# it was changed behind Litestream's back

$r = verify();

is("$r->{status} $r->{verified}", '503 0', 'changed');
like($r->{error}, qr/differs from the database .* in 1 of \d+ pages, .* "pad"$/,
    'changed: why');

is(patch('SOME-mark', 'some-mark'), 1, 'it is put right');

$r = verify();

is("$r->{status} $r->{verified}", '200 1', 'and true again')
    or diag($r->{error});

# a byte of the replica

# the same ones again later: one may come in between

my @flipped = snapshots();

flip($_) for grep { -e } @flipped;
$r = verify();

is("$r->{status} $r->{verified}", '503 0', 'flipped');
like($r->{error}, qr/replica cannot be restored: ./, 'flipped: why');

flip($_) for grep { -e } @flipped;
$r = verify();

is("$r->{status} $r->{verified}", '200 1', 'put right') or diag($r->{error});

# what was committed is in the replica

my @acked = $writer->stop;

cmp_ok(scalar @acked, '>', 100, 'commits');
is($t->api('sync/app', method => 'POST', body => '')->{synced}, 1, 'synced');

my $copy = $db->restore("file://$dir/replica/app");

is(join(' ', $writer->lost($copy, @acked)), '', 'none is lost');
is($copy->integrity, 'ok', 'integrity');
is(join(' ', glob "$dir/s/*/run/verify-*"), '', 'no copy is left');


sub verify {
    return finish(http_post('/litestream/verify/app?mode=full&timeout=5m', '',
        start => 1));
}


sub finish {
    my $r = response(http_end($_[0], ceiling => 300));
    return { %{ json($r->{body}) }, status => $r->{status} };
}


sub restores {
    return scalar grep { $_->[2] =~ m!^restore .*/verify-app! } $t->fake_calls;
}


sub acked { return scalar(my @acked = $writer->acked) }


# the file of level 9, and the first transaction, which is one as well

sub snapshots {
    my ($level) = @_;
    $level //= '*';
    return my @files = glob "$dir/replica/app/ltx/$level/0000000000000001-*";
}


sub flip {
    my ($file) = @_;

    my @st = stat $file;

    open my $f, '+<', $file or die "open($file) failed: $!\n";
    binmode $f;
    seek $f, $st[7] >> 1, 0;
    read $f, my $byte, 1;
    seek $f, $st[7] >> 1, 0;
    print $f $byte ^ "\x10";
    close $f or die "close($file) failed: $!\n";

    utime @st[8, 9], $file;
}


# replaces a text of the same length in the file of the database: how often

sub patch {
    my ($from, $to) = @_;

    my ($path, $n, $at) = ($db->path, 0, 0);

    open my $f, '+<', $path or die "open($path) failed: $!\n";
    binmode $f;

    while (read $f, my $page, 4096) {
        my $i = index $page, $from;

        if ($i != -1) {
            seek $f, $at + $i, 0;
            print $f $to;
            seek $f, $at + 4096, 0;
            $n++;
        }

        $at += 4096;
    }

    close $f or die "close($path) failed: $!\n";

    return $n;
}
