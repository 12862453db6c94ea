#!/usr/bin/perl

# Databases whose comparisons end while Litestream comes up wait until it is
# up.  One that is stopped before that dies of the signal, what it was started
# with is compared anew, and is ready while the next one comes up: that could go
# on for as long as a comparison takes less time than a start.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Storage;

use constant N => 12;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(12);

my $dir = $t->testdir;
my @alias = map { sprintf 'db%02d', $_ } 1 .. N;
my $dbs = join "\n", map { "    litestream_db $_ $dir/app/$_.db;" } @alias;

my @late = @alias[3, 7, 11];

$t->fake('await go');
$t->db_dir($_) for qw/ app replica /;

$t->write_file_expand('nginx.conf', <<"EOC");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica file://%%TESTDIR%%/replica;
$dbs
    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOC

my $storage = Test::Litestream::Storage->new($t);
my %db = map {
    $_ => Test::Litestream::DB->make("$dir/app/$_.db", rows => 1)
} @alias;

# some of the replicas do not answer at first

$storage->mode(map { "hang /replica/$_/" } @late);
$t->run(env => $storage->env);

ok($t->waituntil(sub { starts() == 1 }, 30), 'Litestream is started');
ok($t->waituntil(sub { state('starting') == N - @late }, 20),
    'the others are compared');

# they answer before it is up

$storage->mode();

ok($t->waituntil(sub { state('starting') == N }, 60), 'all are compared');

$t->write_file('fake/go', '');

ok($t->waituntil(sub { state('replicating') == N }, 60), 'all replicate');
is(starts(), 2, 'started for the first ones, and once for the others');
is(scalar(my @died = $t->read_log(qr/litestream process \d+ .*on signal/)), 0,
    'none has died of a signal');

# comparisons of different lengths, a Litestream that takes longer

$t->fake_mode('sleep 1500');
$storage->mode(map { "sleep " . 40 * ($_ =~ s/^db0?//r) . " /replica/$_/" }
    @alias);
$t->write_file('fake/calls', '');

$db{$_}->insert(1, 'while it is down') for @alias;
kill 'KILL', $t->litestream_pids;

ok($t->waituntil(sub { starts() }, 30), 'killed: started again');
ok($t->waituntil(sub { state('replicating') == N }, 90), 'all replicate');
cmp_ok(starts(), '<=', 4, 'after a few starts');

$storage->mode();

my @lost = grep {
    $db{$_}->restore_count("file://$dir/replica/$_") != 2
} @alias;

is("@lost", '', 'nothing is lost');
is(state('replicating'), N, 'still replicating');
ok($t->quit(), 'quit');


sub state {
    my ($state) = @_;

    return scalar grep { $_->{state} eq $state }
        @{ ($t->status || {})->{databases} || [] };
}


sub starts {
    return scalar grep { $_->[2] =~ /^replicate/ } $t->fake_calls;
}
