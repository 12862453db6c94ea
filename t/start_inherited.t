#!/usr/bin/perl

# NGINX in the environment of a first start: a socket that systemd has opened,
# and not an upgrade.  Missing databases are restored all the same.

use warnings;
use strict;

use Fcntl;
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ environment /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(13);

my $dir = $t->testdir;

$t->fake('restore: sleep 500');

$t->write_file_expand('nginx.conf', <<'EOC');

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

EOC

my $replica = $t->db_dir('replica');
my $db = $t->db('app', rows => 10);

$db->replicate("file://$replica/app");
$db->remove();

# as systemd does it: the socket is descriptor 3

my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1:' . port(8080),
    Listen => 100, ReuseAddr => 1) or die "no socket: $!\n";

my $fd = fileno $listen;
my @wrap = ($^X, '-e', <<'EOS', $fd);
use POSIX;
my $fd = shift;
POSIX::dup2($fd, 3) // die "dup2() failed: $!\n" if $fd != 3;
exec { $ARGV[0] } @ARGV;
EOS

# it has to live on in the child

fcntl $listen, F_SETFD, 0 or die "fcntl() failed: $!\n";

# a request that came before nginx

my $s = http_get('/litestream/ready', start => 1);

my ($rc, $err) = $t->try_run(wrap => \@wrap, env => { NGINX => '3;' },
    nowait => 1);

ok($t->waituntil(sub { defined($rc = $t->started) }, 20), 'nginx runs');
is($rc, 0, 'it started') or diag($t->_stderr);

close $listen;

is($db->count, 10, 'restored');
is(response(http_end($s))->{status}, 200, 'the request is answered');
is(scalar(my @restored = $t->read_log(qr/"app" was restored from/)), 1,
    'the log says so');
is(scalar(my @socket = $t->read_log(qr/using inherited sockets from "3;"/)), 1,
    'on the socket that was there');

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

$db->insert(1);

ok($t->waituntil(sub { $db->restore_count("file://$replica/app") == 11 }),
    'replicated');

# Litestream has nothing of it

is(environment($_)->{NGINX}, undef, 'not for Litestream')
    for $t->litestream_pids;
ok($t->stop(), 'stop');

# one that cannot be restored ends the start here, too

$db->remove();
chmod 0000, "$replica/app";

$listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1:' . port(8080),
    Listen => 100, ReuseAddr => 1) or die "no socket: $!\n";
fcntl $listen, F_SETFD, 0 or die "fcntl() failed: $!\n";
$wrap[-1] = fileno $listen;

($rc, $err) = $t->try_run(wrap => \@wrap, env => { NGINX => '3;' });

isnt($rc, 0, 'denied: nginx does not start');
like($err, qr/\[emerg\].*"app".*permission denied/, 'denied: it says why');
ok(!-e $db->path, 'denied: nothing was made');

chmod 0755, "$replica/app";
