#!/usr/bin/perl

# A Litestream that does not answer any more is killed and started anew.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ alive /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(10);

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

$t->signal('STOP', $pid);
$db->insert(2);

ok($t->waituntil(sub { !alive($pid) }, 40), 'it is killed');
ok($t->waitforlog(
    qr/process $pid of group \S+ does not answer any more, killed/),
    'the log says so');
is($t->waitforstate('app', 'replicating'), 'replicating',
    'replicating again');
ok($t->waituntil(sub { $db->restore_count($url) == 5 }, 15),
    'nothing was lost');

my $group = $t->status()->{litestream}[0];

is($group->{last_exit}, 'exited on signal 9: does not answer any more',
    'the reason is told');
is($group->{restarts}, 1, 'it was counted');
is($t->supervisor_pid, $super, 'the same supervisor');
like(http_get('/litestream/ready?replicating=1'), qr/ 200 /, 'all is well');
ok($t->quit(), 'quit');
