#!/usr/bin/perl

# Side files of a database that is gone belong to the old one: SQLite would
# replay them on top of the restored one.  They are kept under another name,
# and the log says so.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(24);

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
    litestream_db       roll %%TESTDIR%%/roll/db.sqlite3;
    litestream_db       clean %%TESTDIR%%/clean/db.sqlite3;
    litestream_db       zero %%TESTDIR%%/zero/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOC

$t->db_dir('replica');

my %db;

for (qw/ app roll clean zero /) {
    $db{$_} = $t->db($_, rows => 10, size => 200000);
    $db{$_}->replicate("file://$dir/replica/$_");
}

# a WAL with 500 rows that were never replicated, as a process that is killed
# leaves it

my $app = $db{app};

my $pid = $app->hold(<<'SQL');
PRAGMA wal_autocheckpoint = 0;
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 500)
    INSERT INTO t (v) SELECT 'never' FROM c;
SQL

put($app->path . $_, "$dir/wal$_") for qw/ -wal -shm /;

$t->stop_daemon($pid);
$_->remove() for values %db;

put("$dir/wal$_", $app->path . $_) for qw/ -wal -shm /;

# the same beside a file of 0 bytes

$t->as_user($app->user, 'touch', $db{zero}->path);
put("$dir/wal$_", $db{zero}->path . $_) for qw/ -wal -shm /;

my $wal = $t->read_file($app->path . '-wal');

cmp_ok(length $wal, '>', 4096, 'a WAL is there');

# a rollback journal

my $journal = "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" . "\0" x 1016;

$t->write_file($db{roll}->path . '-journal', $journal);

# it would be replayed: proof by a restore without us

my $replayed = $app->restore("file://$dir/replica/app", to => "$dir/wal");

is($replayed->count("v = 'never'"), 500, 'it would be replayed');

$t->run();

for (sort keys %db) {
    is($db{$_}->count, 10, "$_: rows");
    is($db{$_}->integrity, 'ok', "$_: integrity");
}

is($_->count("v = 'never'"), 0, 'nothing was replayed') for $app, $db{zero};
is(scalar(my @zero = $db{zero}->beside), 2, 'zero: both are kept');

# kept, and told

my %kept = map { (/(-\w+)$/)[0] => $_ } $app->beside;

is(join(' ', sort keys %kept), '-shm -wal', 'both are kept');
is($t->read_file($app->dir . "/$kept{-wal}"), $wal, 'as it was');
like($kept{-wal}, qr/^\.db\.sqlite3\.stale-\d{8}T\d{6}Z-\d+-wal$/, 'name');

for (qw/ -wal -shm /) {
    is(scalar(my @lines = $t->read_log(
        qr/"app".*"\Q@{[ $app->path ]}$_\E".*moved aside to.*\Q$kept{$_}\E"/)),
        1, "the log tells of $_");
}

my @roll = $db{roll}->beside;

is(scalar @roll, 1, 'the journal is kept');
is($t->read_file($db{roll}->dir . "/$roll[0]"), $journal, 'as it was, too');
like($roll[0], qr/-journal$/, 'name of the journal');

is(join(' ', $db{clean}->beside), '', 'nothing to keep');

# they do not come back

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

$app->insert(1);

ok($t->waituntil(sub { $app->restore_count("file://$dir/replica/app") == 11 }),
    'replicated');


sub put {
    my ($from, $to) = @_;

    my ($rc, $out, $err) = $t->command('cp', $from, $to);
    die "cp: $err\n" if $rc;

    chown((stat $app->dir)[4, 5], $to) if $> == 0;
}
