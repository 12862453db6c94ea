#!/usr/bin/perl

# Databases that come to a directory and go while nginx runs: Litestream goes
# on with all others, as the same process, and nothing replaces a backup.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use File::Path qw/ remove_tree /;
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(36);

my $dir = $t->testdir;

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       t %%TESTDIR%%/t/**/*.db;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOF

$t->db_dir($_) for qw! t replica other !;

my $old = make('old', 5);

$t->run();

is($t->waitforstate('t/old.db', 'replicating'), 'replicating', 'one is there');

my ($pid) = $t->litestream_pids;
my $writer = $old->writer(rate => 20);

# they come, several at a time

my @new = map { make("new$_", 10 + $_) } 1 .. 3;

$t->db_dir('t/sub');
push @new, make('sub/new4', 14);

for (1 .. 4) {
    my $name = $_ == 4 ? 'sub/new4' : "new$_";

    is($t->waitforstate("t/$name.db", 'replicating', 30), 'replicating',
        "$name: replicating");
    is($new[$_ - 1]->restore_count(replica($name)), 10 + $_,
        "$name: its backup");
}

is(join(' ', $t->litestream_pids), $pid, 'the same Litestream');
like($t->read_file((glob "$dir/s/*/litestream.yml")[0]), qr!/t/sub/new4\.db"!,
    'they are in its file');

# commits of one that came later

$new[3]->insert(1, 'later');
is($t->api('sync/t/sub/new4.db', method => 'POST', body => '')->{synced}, 1,
    'a commit: synced');
is($new[3]->restore_count(replica('sub/new4'), where => "v = 'later'"), 1,
    'a commit: in the backup');

# a connection that has not checkpointed loses nothing: Litestream has a lock

ok($new[3]->locked($pid), 'its WAL is locked by Litestream');

# and goes away: the others do not notice

$new[0]->remove;

is($t->waitforstate('t/new1.db', 'error'), 'error', 'deleted: state');
like($t->database('t/new1.db')->{error}, qr/was deleted/, 'deleted: why');
is($t->status->{ready}, 0, 'deleted: not ready');
is($t->api('ready?db=t/new2.db')->{ready}, 1, 'deleted: others are');
is(scalar(grep { $_->{path} =~ m!/new1\.db! }
    @{ $t->control('/list')->{databases} }), 0, 'deleted: not replicated');
is(join(' ', $t->litestream_pids), $pid, 'deleted: the same Litestream');
is($new[1]->restore_count(replica('new1')), 11, 'deleted: its backup is');

# another one of that name does not replace the backup

my $other = make('new1', 2);

ok($t->waituntil(sub {
    return ($t->database('t/new1.db')->{error} // '')
        =~ /replica .* is ahead of the database/;
}), 'another one of that name: a conflict');
is($t->status('t/new1.db')->{ready}, 1, 'another one: it is in place');
is($other->restore_count(replica('new1')), 11, 'another one: the backup is '
    . 'as it was');

# without a backup it leaves, and the name is free

$other->remove(keep_meta => 1);
is($t->waitforstate('t/new1.db', 'error'), 'error', 'deleted again');
ok($t->waituntil(sub {
    return ($t->database('t/new1.db')->{error} // '') =~ /deleted|missing/;
}), 'deleted again: why');

remove_tree("$dir/replica/t/new1.db");

ok($t->waituntil(sub {
    my $st = $t->status || {};
    return $st->{databases}
           && !grep { $_->{alias} eq 't/new1.db' } @{ $st->{databases} };
}, 30), 'its backup is removed as well: it has left');
is($t->status->{ready}, 1, 'ready');
is($t->status('t')->{directories}[0]{databases}, 4, 'four are left');

$other = make('new1', 3);

is($t->waitforstate('t/new1.db', 'replicating', 30), 'replicating',
    'a new one of that name: replicating');
is($other->restore_count(replica('new1')), 3, 'a new one: its backup');

is(join(' ', $t->litestream_pids), $pid, 'all the time the same Litestream');

# nothing of the one that was written to all the time is missing

my @acked = $writer->stop;

is($t->api('sync/t/old.db', method => 'POST', body => '')->{synced}, 1,
    'sync of the old one');

my $copy = $old->restore(replica('old'));

is(join(' ', $writer->lost($copy, @acked)), '', 'no commit is missing');
cmp_ok(scalar @acked, '>', 50, 'there were many');

# Litestream starts anew with all of them

$t->signal('KILL', $pid);

ok($t->waituntil(sub {
    my $dbs = $t->status->{databases};
    my ($now) = $t->litestream_pids;
    return $now && $now != $pid
        && 5 == grep { $_->{state} eq 'replicating' } @$dbs;
}, 30), 'killed: all of them are replicating again');


sub make {
    my ($name, $rows) = @_;
    return Test::Litestream::DB->make("$dir/t/$name.db", rows => $rows);
}


sub replica { return "file://$dir/replica/t/$_[0].db" }
