#!/usr/bin/perl

# A database is replaced by another file while it is replicated.  It is
# compared with the replica first: one that the replica continues is taken up,
# any other one is a conflict, and the backup stays as it was.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(20);

my $dir = $t->testdir;
my $url = "file://$dir/replica/app";

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
            litestream_api;
        }
    }
}

EOF

my $db = $t->db('app', rows => 3);
$t->db_dir('replica');

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
$db->insert(2);
like(http_post('/litestream/sync/app'), qr/"synced":true/, 'sync');

my $super = $t->supervisor_pid;
my ($pid) = $t->litestream_pids;

# by its own backup, as one restores by hand

my $copy = "$dir/app/copy";

ok($db->restore($url, to => $copy, user => $db->user), 'a backup by hand');
replace($copy);

ok($t->waituntil(sub {
    return $t->read_log(qr/was replaced while it was replicated/);
}), 'it is noticed');
is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating again');
ok($t->waituntil(sub {
    my ($now) = $t->litestream_pids;
    return $now && $now != $pid;
}), 'by another process');
is($t->database('app')->{error}, undef, 'no error any more');

$db->insert(4, 'after');
like(http_post('/litestream/sync/app'), qr/"synced":true/, 'sync again');
is($db->restore_count($url), 9, 'replicated');
is($db->restore_count($url, where => "v = 'after'"), 4, 'the new rows');
like(http_get('/litestream/ready'), qr/ 200 /, 'ready');

# by a database that has nothing to do with it

my $other = $t->db('other', rows => 1);

$other->sql('PRAGMA wal_checkpoint(TRUNCATE);');
rename $other->path, $copy;
replace($copy);

is($t->waitforstate('app', 'error'), 'error', 'a foreign one is noticed');
ok($t->waituntil(sub {
    return ($t->database('app')->{error} // '')
           =~ /^not replicated: "\Q${\ $db->path }\E" is not the database/;
}), 'what is wrong');
ok($t->waituntil(sub { !$t->litestream_pids }), 'Litestream has ended');

$db->insert(1);

like(http_post('/litestream/sync/app?timeout=1s'), qr/ 503 /, 'no sync');
is($db->restore_count($url), 9, 'the backup is as it was');
is($db->count, 2, 'the database, too');
like(http_get('/litestream/ready'), qr/ 200 /, 'which is in place');
is($t->supervisor_pid, $super, 'the same supervisor');
ok($t->quit(), 'quit');


# as mv(1) does, and without the side files of the old one

sub replace {
    my ($file) = @_;

    rename $file, $db->path or die "rename() failed: $!\n";
    unlink map { $db->path . $_ } '-wal', '-shm';
}
