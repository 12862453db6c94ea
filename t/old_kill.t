#!/usr/bin/perl

# Litestream 0.3.13 is killed, or does nothing any more: it comes back, and
# what was committed before, meanwhile and after is in the replica.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)->old()
    ->has_daemon(qw/litestream sqlite3/)->plan(27)
    ->expect_alerts(qr/litestream supervisor process \d+ exited on signal 9/);

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
            litestream_api write=on;
        }
    }
}

EOF

my $db = $t->db('app', rows => 3);
$t->db_dir('replica');

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

my ($pid) = $t->litestream_pids;
my $super = $t->supervisor_pid;

# pending when it dies

$t->signal('STOP', $pid);
$db->insert(5, 'pending');
is($db->restore_count($url, where => "v = 'pending'"), 0, 'pending');
$t->signal('KILL', $pid);

ok(my $new = another($pid), 'another process');
$db->insert(2, 'after');

ok($t->waituntil(sub { group()->{state} eq 'up' }), 'it is up');
ok(synced(), 'synced');
is($db->restore_count($url), 10, 'nothing was lost');

my $group = group();

is($group->{pid}, $new, 'its pid in the status');
is($group->{restarts}, 1, 'it was counted');
is($group->{last_exit}, 'exited on signal 9', 'the reason is told');
is($t->database('app')->{error}, undef, 'no error any more');

# the WAL is begun anew while it is not there, as by an application's end

$t->signal('STOP', $super, $new);
$t->signal('KILL', $new);
$db->insert(3, 'meanwhile');
is($db->sql('PRAGMA wal_checkpoint(TRUNCATE)'), '0|0|0',
    'a checkpoint meanwhile');
$db->insert(2, 'in the next WAL');
$t->signal('CONT', $super);

ok($new = another($new), 'another process');
ok(synced(), 'another WAL: synced');
is($db->restore_count($url), 15, 'another WAL: nothing was lost');
is($t->database('app')->{error}, undef, 'another WAL: no error');

# again and again under load

my $writer = $db->writer(rate => 100);

for (1 .. 3) {
    $writer->wait($writer->acked + 20);
    $t->signal('KILL', $new);
    $new = another($new) or last;
}

ok($new, 'it came back each time');
$writer->wait($writer->acked + 20);

# the supervisor, of which it is told by nobody

is($t->supervisor_pid, $super, 'the same supervisor');
$t->signal('KILL', $super);

ok($t->waituntil(sub {
    my $now = $t->supervisor_pid;
    return $now && $now != $super;
}, 20), 'another supervisor');
ok($new = another($new), 'another Litestream');
ok($t->waituntil(sub { ($t->database('app')->{state} // '') eq 'replicating' },
    30), 'replicating');
$writer->wait($writer->acked + 20);

my @acked = $writer->stop;

# it does nothing any more, but is alive

ok(synced(), 'synced');
$t->signal('STOP', $new);
$db->insert(1, 'not seen');

ok(another($new, 60), 'one that is frozen is replaced');
ok($t->read_log(qr/litestream process $new of group \S+ does not follow its/),
    'the log says why');
ok(synced(), 'it goes on');

ok($t->quit(), 'quit');

my $copy = $db->restore($url);

is(join(' ', $writer->lost($copy, @acked)), '',
    'no acknowledged commit was lost');
is($copy->count, $db->count, 'nor any other');


sub group { return $t->status()->{litestream}[0] }


sub synced {
    my $r = response(http_post('/litestream/sync/app?timeout=30s'));
    return $r->{status} == 200 || diag($r->{body}) && 0;
}


sub another {
    my ($old, $ceiling) = @_;

    return $t->waituntil(sub {
        my ($now) = $t->litestream_pids;
        return $now && $now != $old ? $now : 0;
    }, $ceiling // 15);
}
