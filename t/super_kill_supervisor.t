#!/usr/bin/perl

# The supervisor is killed: its Litestream ends by itself, and uploads what is
# pending though nobody reads its log any more; the next supervisor takes over,
# and counts.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ alive /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(21)
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
            litestream_api;
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

# the master is held, so that nobody but Litestream can upload anything

$t->signal('STOP', $t->master_pid, $pid);
$db->insert(5, 'pending');
is($db->restore_count($url, where => "v = 'pending'"), 0, 'pending');

$t->signal('KILL', $super);
$t->signal('CONT', $pid);

ok($t->waituntil(sub { !alive($pid) }, 15), 'Litestream ends');
is($db->restore_count($url), 8, 'what was pending is in the replica');
is(join(' ', $t->supervisor_pids), '', 'there is no supervisor');
like(http_get('/litestream/ready'), qr/ 200 .*"ready":true/s,
    'the site is served');

$db->insert(2, 'meanwhile');
$t->signal('CONT');

ok(my $new = another($super), 'another supervisor');
is($t->waitforstate('app', 'replicating'), 'replicating', 'it replicates');
ok($t->waituntil(sub { $db->restore_count($url) == 10 }, 15),
    'nothing was lost');

my $status = $t->status();

is($status->{supervisor}{state}, 'up', 'state');
is($status->{supervisor}{pid}, $new, 'its pid in the status');
is($status->{supervisor}{restarts}, 1, 'it was counted');
is($status->{litestream}[0]{pid}, ($t->litestream_pids)[0],
    'pid of its Litestream');
is($status->{databases}[0]{error}, undef, 'no error');
ok($status->{ready}, 'ready');

# again under load; the one Litestream must have gone before the next comes

my $writer = $db->writer(rate => 100);
my @seen;

for (1 .. 2) {
    $writer->wait($writer->acked + 20);
    $t->signal('KILL', $new);
    $new = another($new) or last;

    my $one = $t->waituntil(sub {
        my @pids = $t->litestream_pids(any => 1);
        push @seen, "@pids" if @pids > 1;
        my $st = $t->status() // return 0;
        return $st->{supervisor}{pid} && $st->{supervisor}{pid} == $new
               && $st->{databases}[0]{state} eq 'replicating';
    }, 20);

    last unless $one;
}

ok($new, 'it came back each time');
is(join(', ', @seen), '', 'never two Litestreams');
$writer->wait($writer->acked + 20);

my @acked = $writer->stop;

is($t->status()->{supervisor}{restarts}, 3, 'all were counted');
is($t->waitforstate('app', 'replicating'), 'replicating', 'it replicates');
ok($t->quit(), 'quit');
is(join(' ', $writer->lost(scalar $db->restore($url), @acked)), '',
    'no acknowledged commit was lost');


sub another {
    my ($old) = @_;

    return $t->waituntil(sub {
        my $now = $t->supervisor_pid;
        return $now && $now != $old ? $now : 0;
    }, 15);
}
