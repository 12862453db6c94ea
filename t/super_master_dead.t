#!/usr/bin/perl

# The master is killed: the supervisor goes on until the last worker has gone,
# then comes a last sync, and it ends.  A new nginx that was started meanwhile
# waits for that, and takes over.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ alive /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(17);

my $dir = $t->testdir;
my $url = "file://$dir/replica/app";

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;
worker_processes 2;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_shutdown_timeout  60s;

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
my @workers = $t->worker_pids;
my $rows = 3;

is(scalar @workers, 2, 'two workers');

$t->signal('KILL');

ok($t->waitforlog(qr/master process has died/), 'the supervisor notices');
like(http_get('/litestream/ready'), qr/ 200 /, 'the site is served');

# a worker is left

$t->signal('KILL', shift @workers);

$rows = $db->insert(2);
ok($t->waituntil(sub { $db->restore_count($url) == $rows }, 15),
    'it is replicated still');
is(join(' ', grep { alive($_) } $super, $pid), "$super $pid",
    'by the same processes');

# another nginx, which could not have the port as yet

my $conf = $t->read_file('nginx.conf');
my ($old, $new) = (port(8080), port(8081));

$conf =~ s/listen  127\.0\.0\.1:$old/listen  127.0.0.1:$new/;
$t->write_file('nginx.conf', $conf);

my $mark = $t->log_mark;
$t->try_run(nowait => 1);

ok($t->waitforlog(qr/\[warn\].*waiting for the last supervisor/, 10, $mark),
    'a new nginx waits, and says so');
is($t->started, undef, 'it has not started');
is(join(' ', grep { alive($_) } $super, $pid), "$super $pid",
    'the old processes go on');

# the last worker

$rows = $db->insert(5, 'last');
$t->signal('KILL', @workers);

ok($t->waituntil(sub { !alive($super) && !alive($pid) }, 15),
    'the supervisor ends');
is(join("\n", $t->read_log(qr/was not synced before the end/)), '',
    'after a last sync');
ok($t->waituntil(sub { defined $t->started && !$t->started }, 15),
    'the new nginx starts');
is($db->restore_count($url), $rows, 'the last commit is in the replica');

my $peer = '127.0.0.1:' . port(8081);

ok($t->waituntil(sub {
    my $st = $t->status(undef, peer => $peer);
    return $st && $st->{databases}[0]{state} eq 'replicating';
}, 20), 'the new one replicates');
isnt($t->supervisor_pid, $super, 'with its own supervisor');

$rows = $db->insert(1);
ok($t->quit(), 'quit');
is($db->restore_count($url), $rows, 'nothing was lost');
