#!/usr/bin/perl

# A database of 0 bytes counts as missing when nobody has it open, e.g. what
# "touch" or a failed start left behind.  One that somebody has open is a
# database that is about to be written: it is left alone.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(19);

my $dir = $t->testdir;

$t->write_file_expand('nginx.conf', <<'EOC');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       closed %%TESTDIR%%/closed/db.sqlite3;
    litestream_db       open %%TESTDIR%%/open/db.sqlite3;
    litestream_db       off %%TESTDIR%%/off/db.sqlite3 restore=off;
    litestream_db       new %%TESTDIR%%/new/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOC

$t->db_dir('replica');

my %db = map { $_ => $t->db($_, rows => 5) } qw/ closed open off new /;

for (sort keys %db) {
    $db{$_}->replicate("file://$dir/replica/$_") unless $_ eq 'new';
    $db{$_}->remove();

    $t->as_user($db{$_}->user, 'touch', $db{$_}->path);
}

my $txid = $db{open}->txid("file://$dir/replica/open");
my $pid = $db{open}->hold('SELECT count(*) FROM sqlite_master;');
my %ino = map { $_ => (stat $db{$_}->path)[1] } keys %db;

my ($rc, $err) = $t->try_run();

is($rc, 0, 'nginx starts') or diag($err);

# nobody had it open

is($db{closed}->count, 5, 'closed: restored');
is($t->waitforstate('closed', 'replicating'), 'replicating',
    'closed: replicating');

# somebody has it open

is(join(' ', (stat $db{open}->path)[1, 7]), "$ino{open} 0",
    'open: left alone');
is($t->waitforstate('open', 'error'), 'error', 'open: error');

my $st = $t->database('open');

like($st->{error}, qr/\Q$dir\E\/open\/db\.sqlite3" is empty/, 'open: why');
like($st->{error}, qr/$txid/, 'open: what the replica holds');

my $r = response(http_get('/litestream/ready?db=open'));

is($r->{status}, 503, 'open: not ready');

# what is written to it now must not go over the backup

close $_ for @{ $db{open}{held} };
ok($t->waituntil(sub { !kill 0, $pid or waitpid $pid, 1 }), 'it was closed');

$db{open}->sql('CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);');
$db{open}->insert(2);

ok($t->waituntil(sub { $t->database('open')->{error} =~ /ahead/ }, 10),
    'open: the replica is ahead of it');
is($db{open}->txid("file://$dir/replica/open"), $txid,
    'open: the replica is untouched');
is($db{open}->count, 2, 'open: the file, too');
is(response(http_get('/litestream/ready?db=open'))->{status}, 200,
    'open: it is in place');

# not to be restored

is(join(' ', (stat $db{off}->path)[1, 7]), "$ino{off} 0", 'off: left alone');

# nothing to restore; Litestream makes a database of it

is((stat $db{new}->path)[1], $ino{new}, 'new: the same file');
is(response(http_get('/litestream/ready?db=new'))->{status}, 200, 'new: ready');

$db{new}->sql('CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);');
$db{new}->insert(4);

is($t->waitforstate('new', 'replicating'), 'replicating', 'new: replicating');
ok($t->waituntil(sub {
    $db{new}->restore_count("file://$dir/replica/new") == 4
}), 'new: a backup');

is(join(' ', map { $_->beside } values %db), '', 'nothing beside them');
