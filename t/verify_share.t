#!/usr/bin/perl

# POST verify by several at once: those of one database share one verification,
# those of different databases have their own; without write=on a result is
# used again while it is fresh; nobody has to wait for it.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(45);

my $dir = $t->testdir;

$t->fake();

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;
worker_processes 2;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;
    litestream_db       other %%TESTDIR%%/other/db.sqlite3;
    litestream_db       later %%TESTDIR%%/later/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /write/ {
            litestream_api  write=on;
        }

        location /both/ {
            litestream_api  write=on db=app,other;
        }

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

my $db = $t->db('app', rows => 7);

$t->db('other', rows => 7);
$t->db_dir($_) for qw/ later replica /;

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
is($t->waitforstate('other', 'replicating'), 'replicating', 'another one');

# without write=on: one that is younger than 10 s is the answer

my $first = post('/litestream/verify/app');

is($first->{status}, 200, 'the first');
is($first->{verified}, 1, 'the first: verified');
ok(!exists $first->{at}, 'the first: now');
is(restores(), 1, 'the first: a restore');

my $again = post('/litestream/verify/app');

is($again->{status}, 200, 'again');
is($again->{txid}, $first->{txid}, 'again: the same');
like($again->{at}, qr/^20\d\d-.*Z$/, 'again: of when');
is(restores(), 1, 'again: no restore');
is($again->{at}, get('/litestream/verify/app')->{at}, 'as GET says');

# with write=on each is new

my @new = map { post('/write/verify/app') } 1 .. 3;

is(join(' ', map { $_->{status} } @new), '200 200 200', 'write=on');
is(join(' ', grep { $new[$_]{txid} le ($_ ? $new[$_ - 1] : $first)->{txid} }
    0 .. 2), '', 'write=on: each is new');
is(restores(), 4, 'write=on: each a restore');

# several at once: one verification, also for who may only have a fresh one

$t->fake_mode('restore: await shared');

my $old = get('/litestream/verify/app')->{at};
my @calls = map { start($_) } ('/write/verify/app') x 4;

$t->waituntil(sub { restores() == 5 });

is(get('/litestream/verify/app')->{at}, $old, 'at once: none is done');

$t->write_file('fake/shared', '');

my @shared = map { finish($_) } @calls;

is(join(' ', map { $_->{status} } @shared), '200 200 200 200', 'at once');
is(join(' ', map { $_->{txid} } @shared), join(' ', ($shared[0]{txid}) x 4),
    'at once: the same');
is(restores(), 5, 'at once: one restore');

# one of the other database is not held up, nor does it hold up

$t->fake_mode('restore: await both');

@calls = map { start("/write/verify/$_") } qw/ app other /;

ok($t->waituntil(sub { 2 == $t->job_pids }), 'side by side');

$t->write_file('fake/both', '');

@shared = map { finish($_) } @calls;

is(join(' ', map { "$_->{alias} $_->{status}" } @shared),
    'app 200 other 200', 'two databases');
is(restores(), 7, 'two databases: a restore each');

# all of them

$t->fake_mode();

my $all = post('/both/verify');

is($all->{status}, 200, 'all');
is(join(' ', map { "$_->{alias} $_->{verified}" } @{ $all->{databases} }),
    'app 1 other 1', 'all: verified');

$all = post('/write/verify');

is($all->{status}, 503, 'one of all is false');
is(join(' ', map { "$_->{alias} $_->{verified}" } @{ $all->{databases} }),
    'app 1 other 1 later 0', 'one of all: which');
like($all->{databases}[2]{error}, qr/missing|new/, 'one of all: why');

$all = get('/litestream/verify');

is($all->{status}, 200, 'GET verify of all');
is(join(' ', map { "$_->{alias} $_->{verified}" } @{ $all->{databases} }),
    'app 1 other 1 later 0', 'GET verify of all: results');

# a client that does not wait

$t->fake_mode('restore: sleep 300');
$old = get('/litestream/verify/app');

my $r = post('/write/verify/app?timeout=1ms');

is($r->{status}, 202, 'timeout');
is("$r->{alias} $r->{running} $r->{mode}", 'app 1 quick', 'it is running');
is(join(' ', grep { exists $r->{$_} && !defined $r->{$_} }
    qw/ verified txid duration_ms error /), 'verified txid duration_ms error',
    'nothing else is known');
is(get('/litestream/verify/app')->{at}, $old->{at}, 'the old result so far');

ok($t->waituntil(sub { get('/litestream/verify/app')->{at} ne $old->{at} }),
    'the result appears');

my $now = get('/litestream/verify/app');

is($now->{verified}, 1, 'verified');
cmp_ok($now->{txid}, 'gt', $old->{txid}, 'a new transaction');

# one of all still runs

$t->fake_mode('restore: sleep 300');
$all = post('/both/verify?timeout=1ms');

is($all->{status}, 202, 'all: one still runs');

$t->waituntil(sub { !$t->job_pids });

# a client that hangs up

$t->fake_mode('restore: sleep 300');
$old = get('/litestream/verify/app');

my $s = start('/write/verify/app');

ok($t->waituntil(sub { $t->job_pids }), 'a job');
close $s;

ok($t->waituntil(sub { get('/litestream/verify/app')->{at} ne $old->{at} }),
    'it goes on without a client');
is(get('/litestream/verify/app')->{verified}, 1, 'verified');
ok($t->waituntil(sub {
    ($t->read_file('access.log') // '') =~ m!POST /write/verify/app .* 499 !;
}), 'the client has gone');

# kept alive: the next request is read only after the answer

$t->fake_mode('restore: sleep 100');

my $raw = http_raw("POST /write/verify/app HTTP/1.1\r\nHost: localhost\r\n"
    . "Content-Length: 3\r\n\r\nabc"
    . "GET /litestream/ready?db=app HTTP/1.0\r\n\r\n");

is(join(' ', $raw->{data} =~ m!HTTP/1\.1 (\d+)!g), '200 200', 'pipelined');
like($raw->{data}, qr/"verified":true.*"ready":true/s, 'pipelined: in order');

# while one waits, others are served

$t->fake_mode('restore: sleep 5000');

$s = start('/write/verify/app');
$t->waituntil(sub { $t->job_pids });

is(scalar(grep { get('/litestream/status')->{status} == 200 } 1 .. 20), 20,
    'others are served');
is(scalar(my @jobs = $t->job_pids), 1, 'while one waits');
ok($t->stop(), 'stop');


sub start { return http_post($_[0], '', start => 1) }

sub finish {
    my $r = response(ref $_[0] ? http_end($_[0]) : $_[0]);
    return { %{ json($r->{body}) }, status => $r->{status} };
}

sub post { return finish(http_post($_[0])) }
sub get { return finish(http_get($_[0])) }


sub restores {
    return scalar grep { $_->[2] =~ m!^restore .*/verify-! } $t->fake_calls;
}
