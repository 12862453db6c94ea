#!/usr/bin/perl

# Litestream 0.3.13: a missing database is restored before nginx answers, with
# owner, mode and nothing left beside it; one is new only when that is proven;
# what is damaged, of another Litestream or was there once is an error.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use File::Path qw/ remove_tree /;
use Test::Litestream;
use Test::Litestream::DB;

my $t = Test::Litestream->new()->has(qw/http/)->old()
    ->has_daemon(qw/litestream sqlite3/)->plan(35);

my $dir = $t->testdir;
my $conf = <<'EOF';

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3 mode=0600;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

$t->write_file_expand('nginx.conf', $conf);

my $db = $t->db('app', rows => 200);
my $replica = $t->db_dir('replica') . '/app';

# of which there are several generations, and more than one WAL in each

$t->run();
is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
ok($t->quit(), 'quit');

$db->sql('PRAGMA wal_checkpoint(TRUNCATE)');

$t->run();
is($t->waitforstate('app', 'replicating'), 'replicating', 'again');

my $rows = $db->insert(100);

is(response(http_post('/litestream/sync/app?timeout=20s'))->{status}, 200,
    'synced');
is(scalar(my @generations = glob "$replica/generations/*"), 2,
    'two generations');
ok($t->quit(), 'quit again');

# the machine is lost

my @st = stat $db->path;

$db->remove();
remove_tree($t->state_path);
$t->run();

is($db->count, $rows, 'restored');
is(join(' ', (stat $db->path)[2, 4, 5]), "33152 @st[4, 5]", 'owner and mode');
is(scalar(my @left = glob $db->dir . '/.*restore*'), 0, 'nothing beside it');

my $st = $t->database('app');

is($st->{restore}{state}, 'done', 'status: restored');
is($st->{restore}{txid}, undef, 'status: of no number');
ok($t->read_log(qr/restored from .* bytes, generation [0-9a-f]{16}, \d+ ms/),
    'the log says of what');

# it goes on with it

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicated again');

$rows = $db->insert(10);

is(response(http_post('/litestream/sync/app?timeout=20s'))->{status}, 200,
    'synced');
is($db->restore_count("file://$replica"), $rows, 'and complete');
ok($t->quit(), 'quit');

# parts of a replica are missing, or others

my ($newest) = sort { -M $a <=> -M $b } glob "$replica/generations/*";
my ($snapshot) = glob "$newest/snapshots/*";

$db->remove();
rename "$newest/snapshots", "$dir/snapshots" or die "rename() failed: $!\n";

my ($rc, $err) = $t->try_run();

is($rc, 1, 'no snapshot: nginx does not start');
like($err, qr/\[emerg\].*database "app": restore from .*no snapshots/,
    'no snapshot: the reason');
ok(!-e $db->path, 'no snapshot: nothing is made');

rename "$dir/snapshots", "$newest/snapshots" or die "rename() failed: $!\n";

open my $f, '+<', $snapshot or die "open($snapshot) failed: $!\n";
seek $f, 20, 0;
print $f "\xff" x 40;
close $f;

($rc, $err) = $t->try_run();

is($rc, 1, 'a damaged snapshot: nginx does not start');
like($err, qr/\[emerg\].*database "app": (restore from|what replica)/,
    'a damaged snapshot: the reason');
ok(!-e $db->path, 'a damaged snapshot: nothing is made');

# there was something

rename $replica, "$dir/aside" or die "rename() failed: $!\n";

($rc, $err) = $t->try_run();

is($rc, 1, 'empty, but was not: nginx does not start');
like($err, qr/is empty, but a backup was seen there at \S+: is its storage/,
    'empty, but was not: the reason');

# that of a neighbor, and none at all

remove_tree($t->state_path);
rename "$dir/aside", "$dir/replica/other" or die "rename() failed: $!\n";

($rc, $err) = $t->try_run();

is($rc, 1, 'the neighbor holds one: nginx does not start');
like($err, qr!"\Q$dir\E/replica/other" holds a backup: did you mean!,
    'the neighbor holds one: the reason');

remove_tree("$dir/replica/other");
$t->run();

is($t->waitforstate('app', 'new'), 'new', 'nothing anywhere: new');

$db = Test::Litestream::DB->make($db->path, rows => 5);

is($t->waitforstate('app', 'replicating'), 'replicating',
    'it is replicated once it is made');
ok($t->waituntil(sub { $db->restore_count("file://$replica") == 5 }),
    'with its rows');
ok($t->quit(), 'quit');

# a backup of Litestream 0.5 is not to be read

$db->remove();
remove_tree($replica);
$t->old(0);
Test::Litestream::DB->make("$dir/app/x", rows => 1)
    ->replicate("file://$replica");
$t->old(1);

($rc, $err) = $t->try_run();

is($rc, 1, 'one of Litestream 0.5: nginx does not start');
like($err, qr/holds a backup of Litestream 0\.5, which 0\.3 cannot restore/,
    'one of Litestream 0.5: the reason');

# what it cannot do at all

my $key = 'AAAAC3NzaC1lZDI1NTE5AAAAI' . 'A' x 43;

$t->write_file_expand('nginx.conf', $conf
    =~ s!litestream_replica .*?;!litestream_replica
        sftp://u\@127.0.0.1:1/x "host_key=ssh-ed25519 $key" password=x;!r);

($rc, $err) = $t->try_run();

is($rc, 1, 'a host key: nginx does not start');
like($err, qr/Litestream 0\.3 does not know "host-key" of replica type "sftp"/,
    'a host key: the reason');

$t->write_file_expand('nginx.conf', $conf
    =~ s!file://%%TESTDIR%%/replica!webdav://127.0.0.1:1/x!r);

($rc, $err) = $t->try_run();

like($err, qr/Litestream 0\.3 does not know replica type "webdav"/,
    'a type that it does not know');
