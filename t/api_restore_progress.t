#!/usr/bin/perl

# POST restore goes on without its client, one at a time for each database: who
# asks for the same gets its answer, who asks for another one is refused.  The
# status shows how far it is.  It is begun again when the supervisor has
# changed or was killed, and says why when it ends badly; nothing is left then.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(58 - ($> && 2))
    ->expect_alerts(qr/litestream supervisor process \d+ exited on signal 9/);

my $dir = $t->testdir;
my (undef, undef, $uid, $gid) = $t->user;

$t->fake();

conf('30s');

my $db = $t->db('app', rows => 7, size => 300000);

$t->db('other', rows => 7);
$t->db_dir('replica');
$t->run();

is($t->waitforstate($_, 'replicating'), 'replicating', "$_: replicating")
    for qw/ app other /;

my $size = $db->size;

# 202: it goes on

$t->fake_mode('restore: partial 100000', 'restore: await go');

my $r = post('app?timeout=1ms', '{}');

is("$r->{status} $r->{running}", '202 1', 'it goes on');
is(join(' ', grep { !exists $r->{$_} || defined $r->{$_} } qw/ restored file
    txid timestamp bytes duration_ms error /), '', 'nothing else is known');

ok($t->waituntil(sub { (state()->{bytes} // 0) == 100000 }), 'progress');

my $st = state();

is($st->{state}, 'running', 'status: running');
cmp_ok($st->{total_bytes}, '>=', $size, 'status: of how many bytes');
like($st->{txid}, qr/^[0-9a-f]{16}$/, 'status: which transaction');
is(join(' ', grep { defined $st->{$_} } qw/ file duration_ms error /), '',
    'status: no more is known');

# who it is

my ($job) = $t->job_pids;
my $who = $t->uid_of($job);

is("@{ $who->{uid} }", join(' ', ($uid) x 4), 'uids of the job');
is("@{ $who->{gid} }", join(' ', ($gid) x 4), 'gids of the job');

if ($> == 0) {
    is(hex $who->{capabilities}, 0, 'no capability');
    is((stat temp())[4], $uid, 'owner of the temporary file');
}

# the same, another one, another database

my $same = start('app', '{}');

$r = post('app', qq({"txid":"$st->{txid}"}));
is("$r->{status} $r->{restored}", '409 0', 'another one');
like($r->{error}, qr/another restore of this database is under way/,
    'another one: why');
is($r->{txid}, undef, 'another one: nothing is known of it');

my $other = start('other', '{}');

ok($t->waituntil(sub { calls() == 2 }), 'another database: side by side');
is($t->api('sync/app', method => 'POST', body => '')->{synced}, 1,
    'a sync meanwhile');

$t->write_file('fake/go', '');

my @r = map { finish($_) } $same, $other;

is(join(' ', map { "$_->{status} $_->{restored}" } @r), '200 1 200 1',
    'they are restored');
is(state()->{file}, $r[0]{file}, 'status: the file');
is(calls(), 2, 'the same was made once');
ok(-f $r[0]{file}, 'the file is there');
is(left(), '', 'nothing else is left');

# a client that hangs up

$t->fake_mode('restore: sleep 300');

my $s = start('app', '{}');

ok($t->waituntil(sub { $t->job_pids }), 'a job');
close $s;
ok($t->waituntil(sub { state()->{state} eq 'done'
        && state()->{file} ne $r[0]{file} }), 'it goes on without a client');

# a restore that hangs, one that fails, one that is killed

$t->fake_mode('restore: partial 100000', 'restore: hang');
conf('30s', 'timeout=2s');
ok($t->reload(), 'reload');

$r = post('app', '{}');
is("$r->{status} $r->{restored}", '503 0', 'it hangs');
like($r->{error}, qr/restore from ".*" made no progress within 2000 ms/,
    'it hangs: why');
is(state()->{error}, $r->{error}, 'it hangs: status');
is(state()->{state}, 'failed', 'it hangs: state');
is(left(), '', 'it hangs: nothing is left');

$t->fake_mode('restore: partial 100000', 'restore: stderr Error: no such thing',
    'restore: exit 1');

$r = post('app', '{}');
is("$r->{status} $r->{restored}", '503 0', 'it fails');
like($r->{error}, qr/restore from ".*" failed: no such thing/, 'it fails: why');
is(left(), '', 'it fails: nothing is left');

$t->fake_mode('restore: partial 100000', 'restore: hang');
$s = start('app', '{}');
$t->waituntil(sub { -e temp() });
$t->signal('KILL', $t->job_pids);

$r = finish($s);
is("$r->{status} $r->{restored}", '503 0', 'killed');
like($r->{error}, qr/job "restore to a new file" ended on signal 9/,
    'killed: why');

$t->fake_mode();
$r = post('app', '{}');
is("$r->{status} $r->{restored}", '200 1', 'the next one works');
is(left(), '', 'killed: nothing is left then');

# a reload with another configuration: the new supervisor begins it again

for my $waits (1, 0) {
    my $name = $waits ? 'reload' : 'reload, nobody waits';

    $t->fake_mode('restore: partial 100000', 'restore: hang');

    my $super = $t->supervisor_pid;
    my $file = state()->{file};

    $s = $waits ? start('app', '{}') : post('app?timeout=1ms', '{}');
    $t->waituntil(sub { -e temp() });
    $t->fake_mode();

    conf($waits ? '29s' : '28s');
    ok($t->reload(), "$name: reload");
    ok($t->waituntil(sub {
        my $pid = $t->supervisor_pid;
        return $pid && $pid != $super;
    }), "$name: another supervisor");

    is(finish($s)->{status}, 200, "$name: an answer") if $waits;
    ok($t->waituntil(sub { state()->{state} eq 'done' }), "$name: done");
    isnt(state()->{file}, $file, "$name: another file");
    is(left(), '', "$name: nothing is left");
}

# the supervisor is killed

$t->fake_mode('restore: partial 100000', 'restore: hang');
$s = start('app', '{}');
$t->waituntil(sub { -e temp() });
$t->fake_mode();
$t->signal('KILL', $t->supervisor_pid);

$r = finish($s);
is("$r->{status} $r->{restored}", '200 1', 'by the successor')
    or diag($r->{error});
is(left(), '', 'by the successor: nothing is left');

# nginx ends, and is started again

$t->fake_mode('restore: partial 100000', 'restore: hang');
$s = start('app', '{}');
$t->waituntil(sub { -e temp() });
ok($t->stop(), 'stop');
is(left(), '', 'stop: nothing is left');

$t->as_user($uid, 'sh', '-c', 'echo x >' . temp());
$t->fake_mode();
$t->run();

ok($t->waituntil(sub { (state()->{state} // '') eq 'failed' }), 'started');
like(state()->{error}, qr/interrupted by the end of nginx/, 'started: why');
ok($t->waituntil(sub { left() eq '' }), 'started: nothing is left');
is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
is(post('app', '{}')->{status}, 200, 'and the next one works');


sub start {
    return http_post("/litestream/restore/$_[0]", $_[1], start => 1);
}


sub finish {
    my $r = response(http_end($_[0], ceiling => 60));
    return { %{ json($r->{body}) }, status => $r->{status} };
}


sub post { return finish(start(@_)) }

sub state { return ($t->database('app') || {})->{restored} || {} }

sub temp { return $db->dir . '/.db.sqlite3.ngx-litestream-point.tmp' }


sub calls {
    return scalar grep { $_->[2] =~ /^restore .*-txid .*-point / }
        $t->fake_calls;
}


sub left { return join ' ', grep { !/\.restored-/ } $db->beside }


sub conf {
    my ($timeout, $restore) = @_;

    $restore = defined $restore ? "litestream_restore blocking $restore;" : '';

    $t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_shutdown_timeout  $timeout;
    $restore
    litestream_replica           file://%%TESTDIR%%/replica;
    litestream_db                app %%TESTDIR%%/app/db.sqlite3;
    litestream_db                other %%TESTDIR%%/other/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOF
}
