#!/usr/bin/perl

# A stop while the storage does not answer: what is not synced is told, nginx
# ends by itself before its master would kill the supervisor, and Litestream,
# which has the locks still, uploads everything when the storage is back.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ alive fds /;
use Test::Litestream::S3;

use constant N => 20;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(16);

my $dir = $t->testdir;
my $s3 = Test::Litestream::S3->new($t);
my @alias = map { sprintf 'db%02d', $_ } 1 .. N;
my $conf = join "\n", map {
    "    litestream_db $_ %%TESTDIR%%/$_/db.sqlite3;"
} @alias;

$t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  s3://backups region=us-east-1 ${\ $s3->params };

$conf

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

my %db = map { $_ => $t->db($_, rows => 1) } @alias;

$s3->start();
$t->run();

ok($t->waituntil(sub { replicating() == N }, 60), 'all are replicating');

my ($pid) = $t->litestream_pids;
my $super = $t->supervisor_pid;

# in time

$db{$_}->insert(1, 'one') for @alias;

my $from = $t->now;

ok($t->stop(), 'stop');
cmp_ok($t->now - $from, '<', $t->ceiling(3), 'in time: soon');
is(join("\n", $t->read_log(qr/was not synced|left to its/)), '',
    'in time: nothing is missing');
ok(!alive($pid), 'in time: Litestream has ended');
is(rows('one'), N, 'in time: all rows');

# not in time

$t->run();
ok($t->waituntil(sub { replicating() == N }, 60), 'all again');

($pid) = $t->litestream_pids;
$super = $t->supervisor_pid;

$s3->signal('STOP');
$db{$_}->insert(1, 'two') for @alias;

my $mark = $t->log_mark;

ok($t->stop(), 'stop without the storage');
is(scalar(grep { /"db\d+" was not synced before the end/ }
    $t->read_log(qr/\[error\]/, $mark)), N, 'it is told');
like($t->read_log(undef, $mark),
    qr/litestream process $pid of group \S+ is left to its last sync/,
    'and who is left');
like($t->read_log(undef, $mark),
    qr/litestream supervisor process $super exited with code 0/,
    'the supervisor has ended by itself');
ok(alive($pid), 'Litestream goes on');
is(scalar(grep { ($_->{lock} // '') eq 'FLOCK' } fds($pid)), 1 + N,
    'with the locks');

$s3->signal('CONT');

ok($t->waituntil(sub { !alive($pid) }, 60), 'until it is done');
is(rows('two'), N, 'all rows');

# and the next nginx goes on from there

$t->run();
ok($t->waituntil(sub { replicating() == N }, 60), 'replicating');


sub replicating {
    my $st = $t->status || {};
    return scalar grep { $_->{state} eq 'replicating' }
        @{ $st->{databases} || [] };
}


# databases in whose replicas the row is

sub rows {
    my ($v) = @_;

    return scalar grep {
        $db{$_}->restore_count($s3->url("backups/$_"), where => "v = '$v'",
            env => $s3->env) == 1
    } @alias;
}
