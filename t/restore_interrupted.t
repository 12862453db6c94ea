#!/usr/bin/perl

# INT, TERM and QUIT end a restore at start: Litestream is gone, so is the
# temporary file, and the exit code is 1.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ using /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(49);

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

# nothing of it stays in the way

$t->fake_mode();

my ($rc, $err) = $t->try_run();

is($rc, 0, 'then nginx starts') or diag($err);


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
