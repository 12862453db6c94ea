#!/usr/bin/perl

# Questions of clients that are pending when the supervisor, or Litestream, is
# killed are asked again, and answered.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(13)
    ->expect_alerts(qr/litestream supervisor process \d+ exited on signal 9/);

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

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOF

my $db = $t->db('app', rows => 3);
$t->db_dir('replica');

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

# asked while Litestream is frozen, so that nothing can be answered

for my $who ('litestream', 'supervisor') {
    my ($pid) = $t->litestream_pids;
    my $super = $t->supervisor_pid;

    $t->signal('STOP', $pid);
    $db->insert(2, $who);

    my @asks = map { http_post($_, undef, start => 1) }
        ('/litestream/sync/app') x 4, '/litestream/verify/app';

    select undef, undef, undef, 0.2;
    is($db->restore_count($url, where => "v = '$who'"), 0, "$who: pending");

    $t->signal('KILL', $who eq 'supervisor' ? $super : $pid);
    $t->signal('CONT', $pid);

    my $verify = http_end(pop @asks, ceiling => 40);

    is(scalar(grep { http_end($_) =~ / 200 .*"synced":true/s } @asks), 4,
        "$who: syncs were answered");
    like($verify, qr/ 200 .*"verified":true/s,
        "$who: the verification was answered");
    is($db->restore_count($url, where => "v = '$who'"), 2,
        "$who: the answer is true");
}

# asked while there is none

$t->signal('STOP', $t->master_pid);
$t->signal('KILL', $t->supervisor_pid);

$t->waituntil(sub { !$t->litestream_pids(any => 1) });

my $s = http_post('/litestream/sync/app', undef, start => 1);

$t->signal('CONT');

like(http_end($s), qr/ 200 .*"synced":true/s, 'asked while there was none');

is($t->status()->{supervisor}{restarts}, 2, 'restarts of the supervisor');
is($t->status()->{litestream}[0]{restarts}, 1, 'restarts of Litestream');
ok($t->quit(), 'quit');
