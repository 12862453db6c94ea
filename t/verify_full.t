#!/usr/bin/perl

# POST verify?mode=full: the restored copy is the database byte for byte,
# whatever is in it and whatever has been done to it: all sizes of pages,
# tables and indices of all kinds, growth, deletion, VACUUM, checkpoints by the
# application.  A full one is more than a quick one, never less.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http stub_status/)
    ->has_daemon(qw/litestream sqlite3/)->plan(48);

my $dir = $t->testdir;

$t->fake();

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;
worker_processes 2;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;
    litestream_db       small %%TESTDIR%%/small/db.sqlite3;
    litestream_db       large %%TESTDIR%%/large/db.sqlite3;
    litestream_db       vacuum %%TESTDIR%%/vacuum/db.sqlite3;
    litestream_db       journal %%TESTDIR%%/journal/db.sqlite3;
    litestream_db       bad %%TESTDIR%%/bad/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }

        location /read/ {
            litestream_api;
        }

        location /stub {
            stub_status;
        }
    }
}

EOF

my $db = $t->db('app', rows => 500, size => 300000);
my $schema = $db->sql('SELECT name FROM sqlite_master;');

my %db = (app => $db, map { $_ => made($_) } qw/ small large vacuum /);

$db{small}->sql('PRAGMA page_size = 512; ' . contents());
$db{large}->sql('PRAGMA page_size = 65536; ' . contents());
$db{vacuum}->sql('PRAGMA auto_vacuum = FULL; ' . contents());
$db{journal} = $t->db('journal', rows => 50, wal => 0);
$db{bad} = $t->db('bad', rows => 200);

$t->db_dir('replica');
$t->run();

is($t->waitforstate($_, 'replicating'), 'replicating', "$_: replicating")
    for sort keys %db;

# what it says

my $r = verify('app');

is("$r->{status} $r->{verified} $r->{mode}", '200 1 full', 'full')
    or diag($r->{error});
is($r->{error}, undef, 'no error');
like($r->{txid}, qr/^[0-9a-f]{16}$/, 'a transaction');
is(join(' ', sort keys %{ $r->{steps} }),
    'check_ms compare_ms restore_ms sync_ms write_ms', 'its steps');
is(join(' ', grep { !defined $r->{steps}{$_} } keys %{ $r->{steps} }), '',
    'all were reached');
is((grep { $_->[2] =~ /^restore .*-txid $r->{txid} .*verify-app/ }
    $t->fake_calls), 1, 'restored was that transaction');

my $get = $t->api('verify/app');

is("$get->{verified} $get->{mode} $get->{txid}", "1 full $r->{txid}",
    'GET verify');
is($t->database('app')->{verify}{mode}, 'full', 'GET status');

is(verify('app', 'quick')->{steps}{compare_ms}, undef,
    'a quick one compares nothing');

# nothing is left behind

is($db->sql('SELECT name FROM sqlite_master '
    . "WHERE name NOT IN ('_litestream_seq', '_litestream_lock');"), $schema,
    'no table is left');
is(join(' ', glob "$dir/s/*/run/verify-*"), '', 'no copy is left');

# all that SQLite can make

for (qw/ small large vacuum journal /) {
    $r = verify($_);
    is("$r->{status} $r->{verified}", '200 1', $_) or diag($r->{error});
}

# and what it can do

for my $name (qw/ small large vacuum /) {
    for (
        ['a growth', 'INSERT INTO w SELECT NULL, randomblob(9000) FROM w;'],
        ['a deletion', 'DELETE FROM w WHERE a % 3; DROP TABLE r; '
            . "DROP INDEX p; UPDATE x SET b = 1 WHERE b = '';"],
        ['a VACUUM', 'VACUUM;'],
        ['checkpoints', 'PRAGMA busy_timeout = 50; '
            . 'PRAGMA wal_checkpoint(TRUNCATE); INSERT INTO '
            . 'w VALUES (NULL, 1); PRAGMA wal_checkpoint(PASSIVE);'])
    {
        $db{$name}->sql($_->[1]);
        $r = verify($name);
        is("$r->{status} $r->{verified}", '200 1', "$name: $_->[0]")
            or diag($r->{error});
    }
}

# while another process keeps a reader's transaction open

my $reader = $db->hold('BEGIN; SELECT count(*) FROM t');
$db->insert(10);

$r = verify('app');
is("$r->{status} $r->{verified}", '200 1', 'beside a reader')
    or diag($r->{error});

$t->stop_daemon($reader);

# a quick one is under way: the full one follows, each gets what it asked for

$t->fake_mode('restore: await quick');

my $n = restores();
my $quick = start('/litestream/verify/app');

$t->waituntil(sub { restores() > $n });

my $full = start('/litestream/verify/app?mode=full');
my $more = start('/litestream/verify/app');

$t->waituntil(sub { waiting() == 3 });
$t->write_file('fake/quick', '');

my @r = map { finish($_) } $quick, $more, $full;

is(join(' ', map { "$_->{status} $_->{mode}" } @r),
    '200 quick 200 quick 200 full', 'a full one asked for meanwhile');
cmp_ok($r[2]{txid}, 'gt', $r[0]{txid}, 'it is another one');
is(restores() - $n, 2, 'two in all');

# a full one is under way: it is good enough for who wanted a quick one

$t->fake_mode('restore: await full');

$full = start('/litestream/verify/app?mode=full');
$t->waituntil(sub { restores() == $n + 3 });
$quick = start('/litestream/verify/app?mode=quick');
$t->waituntil(sub { waiting() == 2 });
$t->write_file('fake/full', '');

@r = map { finish($_) } $full, $quick;

is(join(' ', map { "$_->{status} $_->{mode}" } @r), '200 full 200 full',
    'a quick one asked for meanwhile');
is($r[1]{txid}, $r[0]{txid}, 'it is the same');

# without write=on: a fresh full one serves for both, a quick one does not

$t->fake_mode();

is(finish(start('/read/verify/app'))->{txid}, $r[0]{txid},
    'fresh: a full one for a quick one');
is(finish(start('/read/verify/app?mode=full'))->{txid}, $r[0]{txid},
    'fresh: a full one for a full one');

verify('app', 'quick');
$r = finish(start('/read/verify/app?mode=full'));

is("$r->{status} $r->{mode}", '200 full', 'a quick one is not enough');
ok(!exists $r->{at}, 'it was made now');

# a database that is damaged itself: its copy is the same

damage($db{bad});

is(verify('bad', 'quick')->{verified}, 1, 'damaged: a quick one passes');

$r = verify('bad');

is("$r->{status} $r->{verified}", '503 0', 'damaged: a full one does not');
like($r->{error}, qr/database itself, and its copy, is damaged: .*index/,
    'damaged: why');
cmp_ok($r->{steps}{compare_ms}, '>', 0, 'damaged: the copy is the same');

is(response(http_post('/litestream/verify/app?mode=fuller'))->{status}, 400,
    'another mode');


sub made { return Test::Litestream::DB->new($t->db_dir($_[0]) . '/db.sqlite3') }


# what a comparison of tables would not see, too

sub contents {
    return 'PRAGMA journal_mode = WAL; PRAGMA user_version = 7;'
        . 'CREATE TABLE w (a INTEGER PRIMARY KEY, b);'
        . 'CREATE TABLE x (a TEXT, b, PRIMARY KEY (a, b)) WITHOUT ROWID;'
        . 'CREATE INDEX p ON w (b) WHERE a > 1;'
        . 'CREATE VIRTUAL TABLE f USING fts5 (a);'
        . 'CREATE VIRTUAL TABLE r USING rtree (a, b, c);'
        . 'CREATE VIEW v AS SELECT a FROM w;'
        . "INSERT INTO w (b) VALUES (NULL), (''), (x''), (0), (0.0), ('0'),"
        . ' (zeroblob(100000)), (randomblob(70000)), (-1e308), (char(228));'
        . "INSERT INTO x VALUES ('a', 1.5), ('a', ''), ('a', x'');"
        . "INSERT INTO f VALUES ('some text');"
        . 'INSERT INTO r VALUES (1, -1, 1);';
}


# an index that says something else than its table: it was that of no row while
# one was changed

sub damage {
    my ($db) = @_;

    $db->sql(<<'SQL');
.dbconfig defensive off
CREATE INDEX i ON t (v);
PRAGMA writable_schema = ON;
UPDATE sqlite_master SET sql = 'CREATE INDEX i ON t (v) WHERE id < 0'
    WHERE name = 'i';
SQL
    $db->sql(<<'SQL');
.dbconfig defensive off
UPDATE t SET v = 'not in the index' WHERE id = 1;
PRAGMA writable_schema = ON;
UPDATE sqlite_master SET sql = 'CREATE INDEX i ON t (v)' WHERE name = 'i';
SQL
}


sub verify {
    my ($alias, $mode) = @_;
    $mode //= 'full';
    return finish(start("/litestream/verify/$alias?mode=$mode"));
}


sub start { return http_post($_[0], '', start => 1) }


sub finish {
    my $r = response(http_end($_[0]));
    return { %{ json($r->{body}) }, status => $r->{status} };
}


# requests that have no answer yet

sub waiting { return http_get('/stub') =~ /Writing: (\d+)/ ? $1 - 1 : -1 }


sub restores {
    return scalar grep { $_->[2] =~ m!^restore .*/verify-app! } $t->fake_calls;
}
