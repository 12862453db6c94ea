#!/usr/bin/perl

# Thirty databases: the status of each is its own, all are verified in one
# request, a few at a time, and a quit brings the last commits of all into
# their replicas.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

use constant N => 30;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(20);

my $dir = $t->testdir;
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

    litestream_restore  blocking concurrency=3;
    litestream_replica  file://%%TESTDIR%%/replica;

$conf

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOF

# each has another number of rows

my %db = map { $alias[$_] => $t->db($alias[$_], rows => $_ + 1) } 0 .. N - 1;

$t->db_dir('replica');
$t->run();

ok($t->waituntil(sub { replicating() == N }, 40), 'all are replicating');

my $st = $t->status;

is(scalar @{ $st->{databases} }, N, 'all are there');
is($st->{ready}, 1, 'ready');
is(scalar @{ $st->{litestream} }, 1, 'one Litestream');
is(scalar(my @pids = $t->litestream_pids), 1, 'one process');

ok($t->waituntil(sub {
    my $dbs = $t->status->{databases};

    return N == grep {
        my ($alias, $s) = ($alias[$_], $dbs->[$_]);

        $s->{alias} eq $alias && $s->{path} eq $db{$alias}->path
            && $s->{replica}{url} eq "file://$dir/replica/$alias"
            && $s->{size} == $db{$alias}->size && $s->{txid};
    } 0 .. N - 1;
}), 'each with what is its own, in order');

my $one = $t->status('db17');

is(scalar @{ $one->{databases} }, 1, 'status of one');
is($one->{databases}[0]{path}, $db{db17}->path, 'status of one: which');

is(join(' ', sort keys %{ $t->api('ready')->{databases} }), "@alias",
    'ready of all');
is(join(' ', sort keys %{ $t->api('ready?db=db05&db=db29')->{databases} }),
    'db05 db29', 'ready of some');

# all are verified, not all at the same time

my $s = http_post('/litestream/verify?timeout=2m', '', start => 1);
my $most = 0;

$t->waituntil(sub {
    my $n = () = $t->job_pids;

    $most = $n if $n > $most;

    my $r = '';
    vec($r, fileno($s), 1) = 1;
    return select($r, undef, undef, 0);
}, 120);

my $r = response(http_end($s));
my $v = json($r->{body})->{databases};

is($r->{status}, 200, 'verify');
is(scalar(grep { $_->{verified} } @$v), N, 'all are verified')
    or diag(map { "$_->{alias} $_->{error}\n" } grep { $_->{error} } @$v);
is(join(' ', map { $_->{alias} } @$v), "@alias", 'in order');
cmp_ok($most, '<=', 4, 'at the same time: three, and what else there is');
cmp_ok($most, '>', 0, 'at all');

$v = $t->api('verify')->{databases};

is(scalar(grep { $_->{verified} && $_->{at} } @$v), N, 'GET verify');

# the last commits of all, right before the end

$db{$_}->insert(1, 'last') for @alias;

ok($t->quit(), 'quit');
is(scalar(my @left = $t->litestream_pids(any => 1)), 0, 'Litestream has ended');
is(join(' ', grep {
    $db{$_}->restore_count("file://$dir/replica/$_", where => "v = 'last'")
        != 1
} @alias), '', 'the last commits are in the replicas');
is(join("\n", $t->read_log(qr/\[(error|crit|emerg)\]/)), '', 'no error');


sub replicating {
    my $st = $t->status || {};
    return scalar grep { $_->{state} eq 'replicating' }
        @{ $st->{databases} || [] };
}
