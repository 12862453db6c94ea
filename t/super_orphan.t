#!/usr/bin/perl

# The supervisor is killed, and Litestream, told to end by the kernel, does not
# (it is stopped): it is killed before the databases count as not ready.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ alive /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(6)
    ->expect_alerts(qr/litestream supervisor process \d+ exited on signal 9/);

$t->db('app', rows => 3);
$t->db_dir('replica');

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica file://%%TESTDIR%%/replica;
    litestream_db app %%TESTDIR%%/app/db.sqlite3;

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicated');

my $pid = $t->supervisor_pid;
my ($litestream) = $t->litestream_pids;

$t->signal('STOP', $litestream);
$t->signal('KILL', $pid);

my %ready;

ok($t->waituntil(sub {
    $ready{ response(http_get('/litestream/ready'))->{status} }++;
    return !alive($litestream);
}, 20, 0.1), 'it was killed');

ok($t->waitforlog(qr/$litestream of a dead supervisor did not end/), 'log');

ok($t->waituntil(sub {
    $ready{ response(http_get('/litestream/ready'))->{status} }++;
    return ($t->supervisor_pid || $pid) != $pid
           && ($t->litestream_pids)[0];
}, 20, 0.1), 'another one');

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicated again');
is(join(' ', keys %ready), 200, 'ready at all times');
