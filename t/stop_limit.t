#!/usr/bin/perl

# A stop does not wait for a Litestream whose last sync was not confirmed, and
# which may never end: somebody who outlives the supervisor ends it, with all
# that it has started, after litestream_shutdown_timeout.  No lock is left.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ alive cmdline pids slurp using /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(15);

my $dir = $t->testdir;
my $away = 'answer POST /sync 500 {"error":"the storage is away"}';

$t->fake('linger', 'ignore TERM', $away, 'serve');

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_shutdown_timeout  4s;

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

$t->db('app', rows => 3);
$t->db_dir('replica');

# one that never ends

$t->run();

is($t->waitforstate('app', 'error'), 'error', 'the storage is away');

my ($pid) = $t->litestream_pids;
my $super = $t->supervisor_pid;
my $from = $t->now;

ok($t->stop(), 'stop');
cmp_ok($t->now - $from, '<', $t->ceiling(3), 'stop: soon');
like($t->read_log(), qr/litestream process $pid of group \S+ is left to its/,
    'stop: it is left');
like($t->read_log(),
    qr/litestream supervisor process $super exited with code 0/,
    'stop: the supervisor has ended by itself');
ok(alive($pid), 'stop: Litestream goes on');
is(scalar(my @watching = watching($pid)), 1, 'stop: and who is to end it');
is(join(' ', grep { $_ == $watching[0] } using($dir)), '',
    'stop: who has none of our files open');

ok($t->waituntil(sub { !alive($pid) }, 10), 'it is ended');
cmp_ok($t->now - $from, '>', 3.5, 'not before its time');
ok($t->waituntil(sub { !using($dir) }, 5), 'nobody is left')
    or diag(map { "$_ " . cmdline($_) . "\n" } using($dir));
ok($t->waituntil(sub { !alive($watching[0]) }, 5), 'nor who has ended it');

# one that ends by itself is not waited for

$t->fake_mode($away, 'serve');
$t->write_file('nginx.conf', $t->read_file('nginx.conf') =~ s/4s;/600s;/r);

$t->run();

is($t->waitforstate('app', 'error'), 'error', 'again');

($pid) = $t->litestream_pids;

ok($t->stop(), 'stop again');
ok($t->waituntil(sub { !alive($pid) && !watching($pid) }, 5),
    'all have ended');


# processes that have a descriptor of that process

sub watching {
    my ($pid) = @_;

    return grep {
        cmdline($_) =~ /litestream stop process/
            && grep { (slurp($_) // '') =~ /^Pid:\s+$pid$/m }
                glob "/proc/$_/fdinfo/*"
    } pids();
}
