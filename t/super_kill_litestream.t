#!/usr/bin/perl

# Litestream is killed: it comes back at once, the status counts it, and what
# was committed before, meanwhile and after is in the replica.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(19);

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

is(group()->{restarts}, 0, 'no restart yet');
is(group()->{last_exit}, undef, 'no exit yet');

# pending when it dies

$t->signal('STOP', $pid);
$db->insert(5, 'pending');
is($db->restore_count($url, where => "v = 'pending'"), 0, 'pending');
$t->signal('KILL', $pid);

ok(my $new = another($pid), 'another process');
$db->insert(2, 'after');

ok($t->waituntil(sub { group()->{state} eq 'up' }), 'it is up');
is($t->waitforstate('app', 'replicating'), 'replicating', 'it replicates');
ok($t->waituntil(sub { $db->restore_count($url) == 10 }, 15),
    'nothing was lost');

my $group = group();

is($group->{pid}, $new, 'its pid in the status');
is($group->{restarts}, 1, 'it was counted');
is($group->{last_exit}, 'exited on signal 9', 'the reason is told');
is($t->database('app')->{error}, undef, 'no error any more');

is(scalar(my @err = $t->read_log(
    qr/\[error\] .*litestream process $pid of group \S+ exited on signal 9/)),
    1, 'the log tells');

# again and again under load

my $writer = $db->writer(rate => 100);

for (1 .. 3) {
    $writer->wait($writer->acked + 20);
    $t->signal('KILL', $new);
    $new = another($new) or last;
}

ok($new, 'it came back each time');
$writer->wait($writer->acked + 20);

my @acked = $writer->stop;

is(group()->{restarts}, 4, 'all were counted');
is($t->supervisor_pid, $super, 'the same supervisor');
is($t->status()->{supervisor}{restarts}, 0, 'which was not restarted');
ok($t->quit(), 'quit');
is(join(' ', $writer->lost(scalar $db->restore($url), @acked)), '',
    'no acknowledged commit was lost');


sub group { return $t->status()->{litestream}[0] }


sub another {
    my ($old) = @_;

    return $t->waituntil(sub {
        my ($now) = $t->litestream_pids;
        return $now && $now != $old ? $now : 0;
    }, 15);
}
