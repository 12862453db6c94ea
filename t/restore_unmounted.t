#!/usr/bin/perl

# The storage's disk is not mounted: its mount point is there, and empty.  A
# replica that once held something is never believed to be empty: neither for
# a missing database, nor for one that is present, and the disk that is below
# the mount point stays empty.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ children /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(23);

my $dir = $t->testdir;

$t->write_file_expand('nginx.conf', <<'EOC');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/mnt;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOC

my $mnt = $t->db_dir('mnt');
my $db = Test::Litestream::DB->new($t->db_dir('app') . '/db.sqlite3');

# the disk: a file system of its own, in a mount namespace that a process
# keeps; other users move a directory there and away again

my $mounted;

mount();

# a new database: from here on the replica is known to hold something

$t->run(wrap => $mounted);

is($t->waitforstate('app', 'new'), 'new', 'an empty storage: new');

$db->sql('CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);');
$db->insert(3);

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
is(response(http_post('/litestream/sync/app', ''))->{status}, 200, 'synced');

# the first transaction alone would be told as "a backup"

$db->insert(2);
is(response(http_post('/litestream/sync/app', ''))->{status}, 200, 'and more');

my $txid = $t->database('app')->{txid};

ok($t->stop(), 'stop');

# the disk is away, and the machine has lost the database

$db->remove();
umount();

my $app = $t->tree($db->dir);
my ($rc, $err) = $t->try_run();

isnt($rc, 0, 'not mounted: nginx does not start');
like($err, qr/\[emerg\] litestream: database "app": replica .* is empty, but/,
    'not mounted: it says why');
like($err, qr/$txid was seen there.* 20\d\d-\d\d-\d\dT.*mounted\?/,
    'not mounted: what was seen, and when');
is_deeply($t->tree($db->dir), $app, 'not mounted: no database was made');
is(join(' ', glob "$mnt/*"), '', 'not mounted: nothing below the mount point');

# again and again

($rc, $err) = $t->try_run();

like($err, qr/was seen there/, 'still not mounted');

# it is back

mount();

($rc, $err) = $t->try_run(wrap => $mounted);

is($rc, 0, 'mounted: nginx starts') or diag($err);
is($db->count, 5, 'mounted: rows');
is($t->waitforstate('app', 'replicating'), 'replicating',
    'mounted: replicating');
ok($t->stop(), 'stop');

# away again, and the database is present: it is served, but not replicated

umount();

($rc, $err) = $t->try_run();

is($rc, 0, 'present: nginx starts') or diag($err);
is($t->waitforstate('app', 'error'), 'error', 'present: state');
like($t->database('app')->{error}, qr/is empty, but .*seen there.*mounted\?/,
    'present: why');
is(response(http_get('/litestream/ready'))->{status}, 200, 'present: ready');
is($db->count, 5, 'present: rows');
is(join(' ', glob "$mnt/*"), '', 'present: nothing below the mount point');
ok($t->stop(), 'stop');

# what was seen is remembered for the replica, not for this file

mount();
is(rows(), 5, 'the backup is as it was');


sub mount {
    if ($> != 0) {
        rename "$dir/disk/app", "$mnt/app" if -d "$dir/disk/app";
        return;
    }

    $mounted //= ($t->own_mount($mnt))[1];
}


sub umount {
    return if $> == 0;

    mkdir "$dir/disk";
    rename "$mnt/app", "$dir/disk/app" or die "rename() failed: $!\n";
}


sub rows {
    return $db->restore_count("file://$mnt/app") if $> != 0;

    $t->command(@$mounted, 'cp', '-a', "$mnt/app", "$dir/copy");
    return $db->restore_count("file://$dir/copy");
}
