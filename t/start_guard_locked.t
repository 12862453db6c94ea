#!/usr/bin/perl

# A database that cannot be guarded, since somebody has it to himself, or reads
# what a WAL that was begun anew must be written over: it says so, is tried
# again, and the others are replicated without it, undisturbed.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(17);

$t->write_file_expand('nginx.conf', <<'EOC');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       one    %%TESTDIR%%/one/db.sqlite3;
    litestream_db       locked %%TESTDIR%%/locked/db.sqlite3;
    litestream_db       read   %%TESTDIR%%/read/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOC

my %db = map { $_ => $t->db($_, rows => 3000) } qw/ one locked read /;
my $replica = 'file://' . $t->db_dir('replica');

$db{read}->hold('SELECT count(*) FROM t;');

$t->run();

for (qw/ one locked read /) {
    is($t->waitforstate($_, 'replicating'), 'replicating', "$_: replicating");
}

$db{read}->grow(2_000_000);
ok($t->quit(), 'quit');

my $owner = $db{locked}->hold('PRAGMA locking_mode = EXCLUSIVE;'
    . "INSERT INTO t (v) VALUES ('alone');");

# SQLite makes a checkpoint beyond 1000 pages

$db{read}->sql("UPDATE t SET v = 'read' WHERE id <= 100;");
$db{read}->grow(800_000) for 1 .. 3;
$db{read}->insert();

my $reader = $db{read}->hold('BEGIN; SELECT count(*) FROM t;');
$db{read}->insert();

$t->run();

is($t->waitforstate('one', 'replicating'), 'replicating', 'one: replicating');
is($t->waitforstate('locked', 'error'), 'error', 'locked: an error');
like($t->database('locked')->{error},
    qr/not replicated: "\S+" is locked by another process/, 'it is told');
is($t->waitforstate('read', 'error'), 'error', 'read: an error');
like($t->database('read')->{error},
    qr/the WAL of "\S+" was begun anew .* while somebody reads it/,
    'it is told');

my ($pid) = $t->litestream_pids;
my $until = $t->now + 5;

# they are tried again after 1, 2 and 4 seconds

ok($t->waituntil(sub { $t->now > $until }, 20), 'a while later');
is(join(' ', $t->litestream_pids), $pid, 'which nobody else is stopped for');

$t->stop_daemon($_) for $owner, $reader;

for (qw/ locked read one /) {
    is($t->waitforstate($_, 'replicating', 60), 'replicating',
        "$_: replicating");
}

ok($t->quit(), 'quit');

is($db{locked}->restore_count("$replica/locked", where => "v = 'alone'"), 1,
    'locked: nothing was lost');
is($db{read}->restore_count("$replica/read", where => "v = 'read'"), 100,
    'read: nothing was lost');

