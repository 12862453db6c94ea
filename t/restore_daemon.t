#!/usr/bin/perl

# "nginx" as a daemon: the command returns when the database is in place, so
# that whatever is started after it finds it, and its exit code is 0.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ proc_stat /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(14);

my $dir = $t->testdir;

$t->fake('restore: sleep 500');

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

my $db = $t->db('app', rows => 10);

$t->db_dir('replica');
$db->replicate("file://$dir/replica/app");
$db->remove();

my $begin = $t->now;
my ($rc, $out) = $t->nginx();

ok(-s $db->path, 'the file is there when the command returns');
is($rc, 0, 'exit code') or diag($out);
cmp_ok($t->now - $begin, '>=', 0.5, 'it has waited');
is($out =~ s/^nginx: (litestream: restoring|\[warn\] replica) .*\n//mgr, '',
    'nothing else is said');
is($db->count, 10, 'rows');

ok($t->waituntil(sub { defined $t->started }), 'nginx runs');

# a daemon, and the supervisor is its child

my $st = proc_stat($t->master_pid);

is($st->{session}, $t->master_pid, 'a session of its own');
is(response(http_get('/litestream/ready'))->{status}, 200, 'ready');
is((proc_stat($t->supervisor_pid) || {})->{ppid}, $t->master_pid,
    'the supervisor is a child of the master');

# one that fails: the command tells, and there is no daemon

ok($t->stop(), 'stop');
$db->remove();
chmod 0000, "$dir/replica/app";

($rc, $out) = $t->nginx();

is($rc, 1, 'denied: exit code');
like($out, qr/^nginx: \[emerg\].*"app".*permission denied/m,
    'denied: it says why');
is($t->master_pid, 0, 'denied: no daemon');
ok(!-e "$dir/nginx.pid", 'denied: no pid file');

chmod 0755, "$dir/replica/app";
