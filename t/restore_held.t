#!/usr/bin/perl

# A process that still has the deleted database open would go on writing to
# it, and nobody would ever see that: the restore is refused with its pid and
# name, and nothing is made.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(22);

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
my $db = $t->db('app', rows => 10);

$db->replicate("file://$replica/app");

# one with a similar name is not meant

my $other = Test::Litestream::DB->make($db->path . '2', rows => 1);
my $other_pid = $other->hold('SELECT count(*) FROM t;');

unlink $other->files;

# the database and its WAL, deleted while they are open

my $pid = $db->hold('SELECT count(*) FROM t;');

$db->remove();

refused('the database');

# only the WAL, of a database that was moved away

$t->stop_daemon($pid);
$db->sql('CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);'
    . 'PRAGMA journal_mode = WAL;');
$pid = $db->hold("INSERT INTO t (v) VALUES ('x');");
rename $db->path, "$dir/moved" or die "rename() failed: $!\n";

refused('its WAL');

# a file of 0 bytes has taken its place

$t->stop_daemon($pid);
$db->remove();

Test::Litestream::DB->make($db->path, rows => 1);
$pid = $db->hold('SELECT count(*) FROM t;');
$db->remove();
$t->as_user($db->user, 'touch', $db->path);

refused('0 bytes');

# a backup of Litestream 0.3 is restored, but not listed

unlink $db->path;
$t->fake_mode('ltx: stdout []', 'ltx: exit 0');

refused('no list');

# it has ended

$t->fake_mode();
$t->stop_daemon($pid);

my ($rc, $err) = $t->try_run();

is($rc, 0, 'afterwards nginx starts') or diag($err);
is($db->count, 10, 'rows');


sub refused {
    my ($name) = @_;

    my $before = $t->tree($db->dir);
    my ($rc, $err) = $t->try_run();

    isnt($rc, 0, "$name: nginx does not start");
    like($err, qr/\[emerg\].*"app".*process $pid \(sqlite3\) still holds/,
        "$name: pid and name");
    like($err, qr/"\Q@{[ $db->path ]}\E"/, "$name: path");
    unlike($err, qr/$other_pid/, "$name: nobody else");
    is_deeply($t->tree($db->dir), $before, "$name: nothing was touched");
}
