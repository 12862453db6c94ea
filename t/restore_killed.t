#!/usr/bin/perl

# A restore at start whose processes are killed with KILL: whichever it is,
# none of the others is left, and the next start is not held up.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ alive descendants /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(28);

my $dir = $t->testdir;

$t->fake();

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
    }
}

EOC

my $replica = $t->db_dir('replica');
my $db = $t->db('app', rows => 10);

$db->replicate("file://$replica/app");
$db->remove();

my $temp = $db->path =~ s!([^/]+)$!.$1.ngx-litestream-restore.tmp!r;
my $before = $t->tree($db->dir);

# nginx, the restore's own process, its job, Litestream

my @names = qw/ nginx restore job litestream /;

for my $n (0 .. 3) {
    my $name = $names[$n];
    my @pids = chain($name);

    kill 'KILL', $pids[$n];

    my $rc;
    $t->waituntil(sub { defined($rc = $t->started) });

    is($rc, $n ? 1 : 137, "$name: exit code");
    ok($t->waituntil(sub { !grep { alive($_) } @pids }),
        "$name: all processes are gone");

    # the job is what tidies up

    if ($name eq 'job') {
        unlink $temp;

    } else {
        is_deeply($t->tree($db->dir), $before, "$name: nothing is left");
    }

    like($t->_stderr, qr/\[emerg\].*(ended on signal 9|failed)/,
        "$name: it says so") if $n;
}

# all of them at once: what is left over does not stay

my @pids = chain('all');

# the job first: it must not be told of the others' end

kill 'KILL', @pids[2, 0, 1, 3];
$t->waituntil(sub { !grep { alive($_) } @pids });
$t->started;

ok(-s $temp, 'all: a temporary file is left');

$t->fake_mode();

my ($rc, $err) = $t->try_run();

is($rc, 0, 'then nginx starts') or diag($err);
is($db->count, 10, 'rows');
is(join(' ', $db->beside), '', 'nothing is left beside it');


# pids of a restore that runs, from nginx down

sub chain {
    my ($name) = @_;

    $t->fake_mode('restore: partial 1000000', 'restore: hang');
    $t->try_run(nowait => 1);

    ok($t->waituntil(sub { -s $temp }), "$name: the restore runs");

    my @pids = ($t->{child}, descendants($t->{child}));

    is(scalar @pids, 4, "$name: processes");
    return @pids;
}
