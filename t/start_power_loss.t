#!/usr/bin/perl

# A power failure takes commits away that were replicated already: with
# synchronous=NORMAL SQLite writes them to the disk later.  The replica has
# them, the database has not; going on would remove them from the backup.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(36);

my $dir = $t->testdir;

$t->write_file_expand('nginx.conf', <<'EOC');

%%TEST_GLOBALS%%

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

my $url = "file://$dir/replica/app";
my $db = $t->db('app', rows => 10);

$t->db_dir('replica');
$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

# an application that stays: the WAL is not removed

my $pid = $db->hold('PRAGMA wal_autocheckpoint = 0; SELECT count(*) FROM t;');

sync($db->insert(1));
copy('early');

my $early = -s $db->path . '-wal';

sync($db->insert(1));
sync($db->insert(1));

my $late = -s $db->path . '-wal';

cmp_ok($late, '>', $early, 'the WAL has grown');

# the power fails

kill 'KILL', $t->master_pid, $t->supervisor_pid, $t->litestream_pids,
    $t->worker_pids;
$t->stop_daemon($pid);
ok($t->waituntil(sub { !$t->litestream_pids(any => 1) }), 'all is dead');

copy('late');
rename "$dir/replica", "$dir/backup" or die "rename() failed: $!\n";

is($db->restore_count("file://$dir/backup/app"), 13, 'the backup has all');

# nothing is lost when only the processes have died

put('late');
is(look(), 13, 'killed: rows');
$t->run();
is($t->waitforstate('app', 'replicating'), 'replicating',
    'killed: replicating');
ok($t->quit(), 'killed: quit');
is($db->restore_count($url), 13, 'killed: the backup');

# the end of the WAL, cut off

put('late');
truncate $db->path . '-wal', $early;
conflict('cut');

# or not written

put('late');
zero($early, $late - $early);
conflict('zeroes');

# one sector of it: what follows does not count either

put('late');
zero($early + 24 + 4096 - 512, 512);
conflict('a sector');

# an older file, but for Litestream's directory

put('early');
$t->command('rm', '-rf', $db->meta);
$t->command('cp', '-a', "$dir/late/" . ($db->meta =~ s!.*/!!r), $db->dir);
conflict('older');


sub conflict {
    my ($name) = @_;

    my $replica = $t->tree("$dir/replica");

    is(look(), 11, "$name: commits are lost");

    my ($rc, $err) = $t->nginx();

    is($rc, 0, "$name: nginx starts") or diag($err);
    is($t->waitforstate('app', 'error'), 'error', "$name: state");
    like($t->database('app')->{error},
        qr/not replicated: the WAL .* has lost commits.*\Q$url\E/,
        "$name: why");
    is(response(http_get('/litestream/ready'))->{status}, 200, "$name: ready");
    ok($t->stop(), "$name: stop");
    is_deeply($t->tree("$dir/replica"), $replica,
        "$name: the replica is untouched");
}


# all that was committed is in the replica

sub sync {
    my $r = response(http_post('/litestream/sync/app', ''));
    die "sync: $r->{body}\n" unless $r->{status} == 200;
}


sub copy { $t->command('cp', '-a', $db->dir, "$dir/$_[0]") }


sub put {
    my ($name) = @_;

    $t->command('rm', '-rf', $db->dir, "$dir/replica");
    $t->command('cp', '-a', "$dir/$name", $db->dir);
    $t->command('cp', '-a', "$dir/backup", "$dir/replica");
    unlink $db->path . '-shm';
}


sub zero {
    my ($at, $n) = @_;

    open my $f, '+<', $db->path . '-wal' or die "open() failed: $!\n";
    seek $f, $at, 0;
    print $f "\0" x $n;
    close $f;
}


# rows, without the checkpoint that sqlite3 would make

sub look {
    my $copy = "$dir/look";

    $t->command('rm', '-rf', $copy);
    $t->command('cp', '-a', $db->dir, $copy);

    return Test::Litestream::DB->new("$copy/db.sqlite3")->count;
}
