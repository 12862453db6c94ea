#!/usr/bin/perl

# INT, TERM and QUIT end a restore at start: Litestream is gone, so is the
# temporary file, and the exit code is 1.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::CLI;
use Test::Litestream::Proc qw/ using /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(62);

my $dir = $t->testdir;

$t->fake();

my $replica = $t->db_dir('replica');
my $db = $t->db('app', rows => 10);

$db->replicate("file://$replica/app");
$db->remove();

my $temp = $db->path =~ s!([^/]+)$!.$1.ngx-litestream-restore.tmp!r;
my $before = $t->tree($db->dir);

for my $daemon (qw/ off on /) {
    conf($daemon);

    for ([ INT => 2 ], [ TERM => 15 ], [ QUIT => 3 ]) {
        my ($sig, $number) = @$_;

        interrupted("daemon $daemon, $sig", $sig, $number, sub { -s $temp },
            'restore: partial 1000000', 'restore: hang');
    }
}

# before there is a file

conf('off');
interrupted('list', 'TERM', 15,
    sub { grep { $_->[2] =~ /^ltx/ } $t->fake_calls }, 'ltx: hang');

# twice; one that is in no hurry

interrupted('twice', [ 'QUIT', 'TERM' ], '(3|15)', sub { -s $temp },
    'restore: ignore TERM', 'restore: partial 100', 'restore: hang');

# what is known of it then, and while a start takes its time

like((cli($t, 'status'))[1],
    qr/^app +error .*\n    error: nginx did not start: it was interrupted$/m,
    'the status says so');

$t->fake_mode('restore: partial 100', 'restore: hang');
$t->try_run(nowait => 1);

my $seen;

ok($t->waituntil(sub {
    ($seen) = json((cli($t, 'status', '-json'))[1]);
    ($seen->{supervisor}{uptime_seconds} // 0) >= 6;
}, 20), 'a long start: it counts as alive');
is($seen->{supervisor}{state}, 'restoring', 'a long start: supervisor');
is($seen->{databases}[0]{state}, 'restoring', 'a long start: database');

kill 'TERM', $t->{child};
$t->waituntil(sub { defined $t->started });

# nothing of it stays in the way

$t->fake_mode();

my ($rc, $err) = $t->try_run();

is($rc, 0, 'then nginx starts') or diag($err);
unlike((cli($t, 'status'))[1], qr/error/, 'the status has forgotten it');


sub interrupted {
    my ($name, $sig, $number, $cond, @mode) = @_;

    $t->fake_mode(@mode);
    $t->write_file('fake/calls', '');
    $t->try_run(nowait => 1);

    ok($t->waituntil($cond), "$name: the restore runs");

    my $rc;
    my $begin = $t->now;

    kill $_, $t->{child} for ref $sig ? @$sig : $sig;

    $t->waituntil(sub { defined($rc = $t->started) });

    is($rc, 1, "$name: exit code");
    cmp_ok($t->now - $begin, '<', $t->ceiling(5), "$name: at once");
    is_deeply([ using($dir) ], [], "$name: all processes are gone");
    is_deeply($t->tree($db->dir), $before, "$name: nothing is left");
    like($t->_stderr, qr/\[emerg\].*interrupted by signal $number$/m,
        "$name: it says so");
    is((cli($t, 'status'))[0], 3, "$name: nginx does not run");
}


sub conf {
    my ($daemon) = @_;

    $t->write_file_expand('nginx.conf', <<"EOC");

%%TEST_GLOBALS%%

daemon $daemon;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;

    server {
        listen  127.0.0.1:8080;
    }
}

EOC
}
