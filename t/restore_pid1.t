#!/usr/bin/perl

# The same as pid 1, as in a container, where signals without a handler are
# ignored: INT, TERM and QUIT end a restore at start, and nothing is left.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ alive children proc_status using /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(23);

my $dir = $t->testdir;

$t->fake('restore: partial 1000000', 'restore: hang');

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

my $temp = $db->path =~ s!([^/]+)$!.$1.ngx-litestream-restore.tmp!r;
my $before = $t->tree($db->dir);

# Not every user may do that.  The root of a chroot need not be a mount point:
# only /proc is made private, which is enough.

my @unshare = qw/ unshare -pf --mount-proc --propagation unchanged /;
push @unshare, '-c' if $> != 0;

my ($failed, undef, $said) = $t->command(@unshare, 'true');
my $pid1 = !$failed;

die "pid namespace: $said\n" if $> == 0 && !$pid1;

for ([ INT => 2 ], [ TERM => 15 ], [ QUIT => 3 ]) {
    my ($sig, $number) = @$_;

    my $nginx = start();

    ok($t->waituntil(sub { -s $temp }), "$sig: the restore runs");

    my $begin = $t->now;

    kill $sig, $nginx;

    my $rc;
    $t->waituntil(sub { defined($rc = $t->started) });

    is($rc, 1, "$sig: exit code");
    cmp_ok($t->now - $begin, '<', $t->ceiling(5), "$sig: at once");
    is_deeply([ using($dir) ], [], "$sig: all processes are gone");
    is_deeply($t->tree($db->dir), $before, "$sig: nothing is left");
    like($t->_stderr, qr/\[emerg\].*interrupted by signal $number$/m,
        "$sig: it says so");
}

# and it can run as pid 1, and end

$t->fake_mode();

my $nginx = start();

ok($t->waituntil(sub { -s $db->path }), 'restored');
is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
is($db->count, 10, 'rows');

kill 'QUIT', $nginx;

ok($t->waituntil(sub { !alive($nginx) }, 20), 'it ends');

my $rc;
$t->waituntil(sub { defined($rc = $t->started) || !$t->{child} }, 5);
is($t->exit_code, 0, 'exit code');


# the pid of nginx as it is seen from here

sub start {
    $t->try_run(nowait => 1, wrap => $pid1 ? \@unshare : []);

    return $t->{child} unless $pid1;

    my $nginx;

    $t->waituntil(sub {
        $nginx = (children($t->{child}))[0] or return 0;
        return (proc_status($nginx) || {})->{NSpid} =~ /\s1$/;
    }) or die "no pid 1\n";

    return $nginx;
}
