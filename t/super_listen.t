#!/usr/bin/perl

# A supervisor that is started at a reload keeps nothing of the configuration
# before: a port that is not listened on any more is free, and logs are closed.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ fds /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(9);

my $dir = $t->testdir;

$t->db('app', rows => 3);
$t->db_dir('replica');

conf('1s', <<'EOF');

    server {
        listen       127.0.0.1:8081;
        listen       unix:%%TESTDIR%%/other.sock;
        server_name  localhost;
        access_log   %%TESTDIR%%/other.log;
    }

EOF

$t->run();

my $port = '127.0.0.1:' . port(8081);
my $old = $t->supervisor_pid;

ok($t->waitforsocket($port), 'a port');

conf('2s', '');

ok($t->reload, 'reload');
ok($t->waituntil(sub { (my @s = $t->supervisor_pids) == 1 }, 20),
    'one supervisor');
isnt($t->supervisor_pid, $old, 'another one');

ok($t->waituntil(sub { (my @w = $t->worker_pids(all => 1)) == 1 }),
    'the old workers have gone');
is(IO::Socket::INET->new(PeerAddr => $port, Timeout => 5), undef,
    'nobody listens on the port');
is(join(' ', grep { m!/(other|access)\.log! } map { $_->{target} }
    fds($t->supervisor_pid)), "$dir/access.log", 'logs');

conf('3s', 'server { listen 127.0.0.1:8081; }');

ok($t->reload, 'reload with the port again');
like(http_get('/none', peer => $port), qr/ 404 /, 'it answers');


sub conf {
    my ($timeout, $server) = @_;

    $t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_shutdown_timeout $timeout;
    litestream_replica file://%%TESTDIR%%/replica;
    litestream_db app %%TESTDIR%%/app/db.sqlite3;

$server
    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF
}
