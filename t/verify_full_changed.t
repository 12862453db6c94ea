#!/usr/bin/perl

# POST verify?mode=full is false, with the reason, when the database holds
# anything that its replica does not, although both are in order: something that
# was changed in the file behind Litestream's back, down to one byte of a row,
# of an index, of a long value, of a version; or commits that Litestream has
# never read.  A quick verification sees none of it.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(37);

my $dir = $t->testdir;

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;
    litestream_db       lost %%TESTDIR%%/lost/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOF

my $db = $t->db('app', rows => 300, size => 200000);
my $lost = $t->db('lost', rows => 300);

$lost->sql('CREATE TABLE u (a);');

# Each mark is once in the file: what is in an index is so in reverse.

$db->sql("INSERT INTO t (v) VALUES ('row-mark');"
    . 'CREATE TABLE w (a TEXT PRIMARY KEY, b) WITHOUT ROWID;'
    . "INSERT INTO w VALUES ('key-mark', 1);"
    . 'CREATE TABLE b (data); '
    . "INSERT INTO b VALUES (cast(zeroblob(50000) || 'blob-mark' AS BLOB));"
    . 'CREATE TABLE e (a TEXT, b TEXT AS (substr(a, 6) || substr(a, 1, 5))); '
    . 'CREATE INDEX i ON e (b); '
    . "INSERT INTO e (a) VALUES ('mark-index-');"
    . 'CREATE TABLE free (a TEXT); '
    . 'PRAGMA secure_delete = OFF; '
    . "INSERT INTO free SELECT 'free-mark' || hex(randomblob(300)) FROM t;"
    . 'DELETE FROM free WHERE rowid % 2;');

$t->db_dir('replica');
$t->run();

is($t->waitforstate($_, 'replicating'), 'replicating', "$_: replicating")
    for qw/ app lost /;

# the first one is made soon after the start: it would take over any change

ok($t->waituntil(sub { glob "$dir/replica/$_/ltx/9/*.ltx" }), "$_: a snapshot")
    for qw/ app lost /;

my $r = verify('app');

is("$r->{status} $r->{verified}", '200 1', 'before') or diag($r->{error});

for (
    ['a row', 'row-mark', 't'],
    ['a row without a rowid', 'key-mark', 'w'],
    ['a long value', 'blob-mark', 'b'],
    ['an index', 'index-mark', 'i'])
{
    my ($name, $mark, $of) = @$_;

    is(patch($mark, uc $mark), 1, "$name: is changed");

    $r = verify('app', 'quick');
    is("$r->{status} $r->{verified}", '200 1', "$name: quick");

    $r = verify('app');
    is("$r->{status} $r->{verified}", '503 0', $name);
    like($r->{error}, qr/^the\ restored\ copy\ differs\ from\ the\ database\ at
        \ transaction\ $r->{txid}\ in\ 1\ of\ \d+\ pages,
        \ the\ first\ one\ is\ page\ \d+,\ of\ "$of"$/x, "$name: why");

    is(patch(uc $mark, $mark), 1, "$name: is put right");
}

$r = verify('app');
is("$r->{status} $r->{verified}", '200 1', 'all is put right')
    or diag($r->{error});

# more than one

my $n = patch('free-mark', 'free-MARK');

cmp_ok($n, '>', 10, 'many rows are changed');

$r = verify('app');

my ($pages) = ($r->{error} // '') =~ /in (\d+) of \d+ pages, .* of "free"$/;

cmp_ok($pages, '>', 5, 'many rows: pages') or diag($r->{error});
is(patch('free-MARK', 'free-mark'), $n, 'many rows: are put right');

# What Litestream has never read: when it is told to stop and to start, and
# the WAL is begun anew meanwhile, it goes on without a word.

$r = verify('lost');
is("$r->{status} $r->{verified}", '200 1', 'lost: before')
    or diag($r->{error});

ok(control('/stop'), 'Litestream is stopped for a database');
$lost->sql('INSERT INTO u VALUES (1); PRAGMA wal_checkpoint(TRUNCATE);');
ok(control('/start'), 'and started again');

# it loses all that is there when it looks for the first time: a part of what
# a verification writes would make a damaged database of the replica

is(response(http_post('/litestream/sync/lost'))->{status}, 200, 'it looks');

$lost->insert(1, 'after');

$r = verify('lost', 'quick');
is("$r->{status} $r->{verified}", '200 1', 'lost: quick')
    or diag($r->{error});
is($lost->restore("file://$dir/replica/lost")->sql('SELECT count(*) FROM u;'),
    0, 'lost: it is not in the replica');

$r = verify('lost');
is("$r->{status} $r->{verified}", '503 0', 'lost');
like($r->{error}, qr/differs from the database at transaction/, 'lost: why');


sub verify {
    my ($alias, $mode) = @_;
    $mode //= 'full';
    my $r = response(http_post("/litestream/verify/$alias?mode=$mode"));
    return { %{ json($r->{body}) }, status => $r->{status} };
}


# replaces a text of the same length in the file of the database: how often

sub patch {
    my ($from, $to) = @_;

    my $path = $db->path;

    open my $f, '+<', $path or die "open($path) failed: $!\n";
    binmode $f;

    my $data = do { local $/; <$f> };
    my $n = 0;

    for (my $at = index $data, $from;
         $at != -1;
         $at = index $data, $from, $at + 1)
    {
        seek $f, $at, 0;
        print $f $to;
        $n++;
    }

    close $f or die "close($path) failed: $!\n";

    return $n;
}


sub control {
    my ($uri) = @_;

    my $r = $t->control($uri, method => 'POST',
        body => '{"path":"' . $lost->path . '","timeout":10}');

    return ($r->{status} // '') =~ /^(stopped|started)$/;
}
