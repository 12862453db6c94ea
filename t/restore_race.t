#!/usr/bin/perl

# An application that does not wait makes its own database while the restore
# runs: that file is left alone, with its WAL, nothing is renamed over it, and
# nginx does not start.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(17);

my $dir = $t->testdir;

$t->fake();

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
my $db = $t->db('app', rows => 100, size => 500000);

$db->replicate("file://$replica/app");
$db->remove();

my $url = "file://$replica/app";
my $before = $t->tree($replica);

# a new database, whose rows are in its WAL only

my ($rc, $err, $pid) = race(<<'EOS');
PRAGMA journal_mode = WAL;
PRAGMA wal_autocheckpoint = 0;
CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);
INSERT INTO t (v) VALUES ('own');
EOS

isnt($rc, 0, 'nginx does not start');
like($err, qr/\[emerg\].*"app".*db\.sqlite3" was made by somebody else/,
    'it says why');
like($err, qr/left alone/, 'and what it did');
is(join(' ', $db->beside), '', 'nothing is left beside it');
is(scalar(grep { -e } $db->path . '-wal'), 1, 'its WAL is there');

$t->stop_daemon($pid);

is($db->count("v = 'own'"), 1, 'it keeps its row');
is($db->integrity, 'ok', 'integrity');
is_deeply($t->tree($replica), $before, 'the replica is untouched');

# once more, without rows, and with a rollback journal

$db->remove();

($rc, $err, $pid) = race(<<'EOS');
CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);
BEGIN;
INSERT INTO t (v) VALUES ('own');
EOS

isnt($rc, 0, 'journal: nginx does not start');
is(join(' ', $db->beside), '', 'journal: nothing is left beside it');
is(scalar(grep { -e } $db->path . '-journal'), 1, 'journal: it is there');

$t->stop_daemon($pid);

is($db->count, 0, 'journal: its own database');

# a file of 0 bytes that nobody had open, until the restore ran

$db->remove();
$t->as_user($db->user, 'touch', $db->path);

my $ino = (stat $db->path)[1];

($rc, $err, $pid) = race('SELECT count(*) FROM sqlite_master;');

isnt($rc, 0, '0 bytes: nginx does not start');
like($err, qr/was made by somebody else/, '0 bytes: it says why');
is(join(' ', (stat $db->path)[1, 7]), "$ino 0", '0 bytes: left alone');
is(join(' ', $db->beside), '', '0 bytes: nothing is left beside it');

$t->stop_daemon($pid);

# without an application in the way

unlink $db->path;
$t->fake_mode();
$t->run();

is($db->count, 100, 'then it is restored');


sub race {
    my ($sql) = @_;

    # it waits for the application

    unlink "$dir/fake/go";
    $t->fake_mode('restore: await go');
    $t->write_file('fake/calls', '');

    $t->try_run(nowait => 1);
    $t->waituntil(sub { grep { $_->[2] =~ /^restore/ } $t->fake_calls }, 20)
        or die "no restore\n";

    my $pid = $db->hold($sql);
    my $rc;

    $t->write_file('fake/go', '');

    $t->waituntil(sub { defined($rc = $t->started) }, 20);

    return ($rc, $t->read_file('stderr.log'), $pid);
}
