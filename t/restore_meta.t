#!/usr/bin/perl

# Only the database was deleted, Litestream's directory is still beside it:
# it may know of transactions that the replica has never seen.  The database
# is what the replica holds, and what is replicated from then on is what the
# database holds.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(18);

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

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOC

my $replica = $t->db_dir('replica');
my $url = "file://$replica/app";
my $db = $t->db('app', rows => 10);

for (1 .. 3) {
    $db->replicate($url);
    $db->insert(1);
}

# it has all that the replica has

$db->replicate($url);
$db->remove(keep_meta => 1);

restored('the same', 13);

# it has more: two transactions were made while the storage was away

rename $replica, "$dir/away" or die "rename() failed: $!\n";
$t->db_dir('replica');

for (1 .. 2) {
    $db->insert(1);
    $db->replicate($url);
}

$t->command('rm', '-rf', $replica);
rename "$dir/away", $replica or die "rename() failed: $!\n";

$db->remove(keep_meta => 1);

restored('more', 14);

# it has less

$t->command('cp', '-a', $db->meta, "$dir/meta");

for (1 .. 2) {
    $db->insert(1);
    $db->replicate($url);
}

$db->remove();
$t->command('cp', '-a', "$dir/meta", $db->meta);

restored('less', 17);


sub restored {
    my ($name, $rows) = @_;

    my ($rc, $err) = $t->try_run();

    is($rc, 0, "$name: nginx starts") or diag($err);
    is($db->count, $rows, "$name: rows");
    is($t->waitforstate('app', 'replicating'), 'replicating',
        "$name: replicating");

    my $n = $db->insert(1);
    my $r = response(http_post('/litestream/sync/app', ''));

    is($r->{status}, 200, "$name: synced") or diag($r->{body});
    is($db->restore_count($url), $n, "$name: the backup is what is here");
    ok($t->stop(), "$name: stop");
}
