#!/usr/bin/perl

# Litestream 0.3.13 begins a generation of any database that it is given, which
# a restore then takes for the newest backup.  So a database is replicated only
# where it continues what is there: an older copy, one that was made anew, one
# that has lost commits and an empty storage are served, but not replicated.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::DB;

my $t = Test::Litestream->new()->has(qw/http/)->old()
    ->has_daemon(qw/litestream sqlite3/)->plan(64);

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
            litestream_api write=on;
        }
    }
}

EOC

my $url = "file://$dir/replica/app";
my $db = $t->db('app', rows => 10);

$t->db_dir('replica');

# what nginx has replicated it goes on with, whatever became of the WAL

replicated('first', 11);
keep('old');
replicated('second', 12);

$db->sql('PRAGMA wal_checkpoint(TRUNCATE)');
replicated('another WAL', 13);

$db->sql('PRAGMA journal_mode = DELETE');
replicated('another journal', 14);

$t->command('rm', '-rf', $db->meta);
replicated('without its directory', 15);

$t->command('cp', '-a', $t->state_path, "$dir/state-kept");
$t->command('rm', '-rf', $t->state_path);
replicated('without a memory', 16);

my @generations = glob "$dir/replica/app/generations/*";
cmp_ok(scalar @generations, '>', 3, 'each has begun a generation');

my $newest = newest();

# the machine goes back to an older snapshot of itself; a copy of that

put('old');
conflict('snapshot', qr/does not continue.*\Q$url\E.*$newest/, 12);

$t->command('rm', '-rf', $db->meta);
conflict('copy', qr/does not continue.*\Q$url\E.*$newest.*'s is none/, 13);
conflict('again', qr/does not continue/, 14);

# the first remedy of the message

mkdir "$dir/away";
rename $_, "$dir/away/" . s!.*/!!r for grep { -e } $db->files;

replicated('moved away: the backup', 17);

# the same with a meta directory that is none of its own

$t->command('cp', '-a', $db->meta, "$dir/meta");
replicated('goes on', 18);
$t->command('rm', '-rf', $db->meta);
$t->command('cp', '-a', "$dir/meta", $db->meta);
unlink $db->files;

replicated('restored beside an old directory', 19);

# made anew beside that directory

unlink $db->files;
Test::Litestream::DB->make($db->path, rows => 5);

conflict('made anew', qr/made anew beside the old one's meta directory/, 6);

# the power fails

unlink $db->files;
$t->run();
is($t->waitforstate('app', 'replicating'), 'replicating', 'power: replicating');

my $pid = $db->hold('PRAGMA wal_autocheckpoint = 0; SELECT count(*) FROM t;');

$db->insert(1);
synced('power: synced');

my $early = -s $db->path . '-wal';

$db->insert(1);
synced('power: synced again');

kill 'KILL', $t->master_pid, $t->supervisor_pid, $t->litestream_pids,
    $t->worker_pids;
$t->stop_daemon($pid);
ok($t->waituntil(sub { !$t->litestream_pids(any => 1) }), 'power: it fails');

is($db->restore_count($url), 21, 'power: the backup has all');
truncate $db->path . '-wal', $early;
unlink $db->path . '-shm';
conflict('power', qr/the WAL of .* has lost commits that replica/);

# the storage is not mounted

rename "$dir/replica/app", "$dir/aside" or die "rename() failed: $!\n";
conflict('empty', qr/is empty, but a backup was seen there at .*mounted\?/);
rename "$dir/aside", "$dir/replica/app" or die "rename() failed: $!\n";

# the second remedy

$t->write_file_expand('nginx.conf',
    $t->read_file('nginx.conf') =~ s!/replica;!/other;!r);
$t->db_dir('other');
$url = "file://$dir/other/app";

$t->run();
is($t->waitforstate('app', 'replicating'), 'replicating',
    'an empty replica: replicating');
synced('an empty replica');
is($db->restore_count($url), $db->count, 'an empty replica: a backup');


# it is replicated, has so many rows then, and all of them are in the replica

sub replicated {
    my ($name, $rows) = @_;

    $t->run();
    is($t->waitforstate('app', 'replicating'), 'replicating',
        "$name: replicating");
    is($db->insert(1), $rows, "$name: rows");
    $t->quit();
    is($db->restore_count($url), $rows, "$name: the replica goes on");
}


sub synced {
    my ($name) = @_;

    my $r = response(http_post('/litestream/sync/app?timeout=30s'));
    is($r->{status}, 200, $name) or diag($r->{body});
}


sub keep { $t->command('cp', '-a', $db->dir, "$dir/$_[0]") }


sub put {
    $t->command('rm', '-rf', $db->dir);
    $t->command('cp', '-a', "$dir/$_[0]", $db->dir);
}


# that of the newest file

sub newest {
    my ($file) = sort { -M $a <=> -M $b || $b cmp $a }
        glob "$dir/replica/app/generations/*/{wal,snapshots}/*";
    return ($file =~ m!generations/([0-9a-f]+)!)[0];
}


# it is served, and not replicated; rows: after one more

sub conflict {
    my ($name, $why, $rows) = @_;

    my $replica = $t->tree("$dir/replica");
    my ($rc, $err) = $t->try_run();

    is($t->waitforstate('app', 'error'), 'error', "$name: state") or diag($err);
    like($t->database('app')->{error}, qr/^not replicated: .*$why/,
        "$name: why");
    is(response(http_get('/litestream/ready'))->{status}, 200, "$name: ready");
    is($db->insert(1), $rows, "$name: it is used") if $rows;

    $t->stop();
    is_deeply($t->tree("$dir/replica"), $replica,
        "$name: the replica is untouched");
}
