#!/usr/bin/perl

# Databases of two owners in one configuration: a Litestream for each, as that
# user, with its own databases only; a replica that its user may not use, to
# read or to write, is an error of that database alone, and passes.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Command qw/ ids /;
use Test::Litestream::Proc qw/ config_of /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(46 - ($> && 16));

my $dir = $t->testdir;

# a plain user has only itself: then there is one Litestream

my $one = ($t->user)[0];
my ($two) = $> != 0 ? $one
    : grep { $_ ne ($t->worker_user)[0] && getpwnam($_) } qw/ daemon games /;

my %user = (a => $one, read => $one, b => $two, write => $two);
my @users = $one eq $two ? ($one) : ($one, $two);

$t->fake();

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       a %%TESTDIR%%/a/db.sqlite3;
    litestream_db       b %%TESTDIR%%/b/db.sqlite3;
    litestream_db       read %%TESTDIR%%/read/db.sqlite3;
    litestream_db       write %%TESTDIR%%/write/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOF

my %db = map { $_ => $t->db($_, user => $user{$_}, rows => 3) } keys %user;

$t->db_dir('replica', user => $>);

for (keys %user) {
    mkdir "$dir/replica/$_" or die "mkdir() failed: $!\n";
    chown ids($user{$_}), "$dir/replica/$_" if $> == 0;
}

chmod 0000, "$dir/replica/read";
chmod 0500, "$dir/replica/write";

$t->run();

is($t->waitforstate($_, 'replicating'), 'replicating', "$_: replicating")
    for qw/ a b /;

# a Litestream for each; it is started anew for databases that were looked at
# too late for the first start

ok($t->waituntil(sub {
    3 == map { @{ ($t->control('/list', pid => $_) || {})->{databases} || [] } }
        $t->litestream_pids;
}), 'all that may be replicated are');

my @pids = $t->litestream_pids;
my %pid = map { $t->uid_of($_)->{uid}[0] => $_ } @pids;

is(scalar @pids, scalar @users, 'a Litestream for each user');

for my $user (@users) {
    my ($uid, $gid) = ids($user);
    my $pid = $pid{$uid};
    my $who = $t->uid_of($pid) || {};

    is("@{ $who->{uid} }", join(' ', ($uid) x 4), "$user: uids");
    is("@{ $who->{gid} }", join(' ', ($gid) x 4), "$user: gids");

    my $conf = config_of($pid);
    my $own = join ' ', map { $db{$_}->path }
        grep { $user{$_} eq $user } sort keys %user;
    my $running = join ' ', map { $db{$_}->path }
        grep { $user{$_} eq $user && $_ ne 'read' } sort keys %user;

    is(join(' ', sort grep { m!/db\.sqlite3$! } @{ $conf->{paths} }), $running,
        "$user: its configuration");
    is((stat $conf->{file})[4], $uid, "$user: its file");
    is((stat $conf->{socket})[4], $uid, "$user: its socket");

    my $list = $t->control('/list', pid => $pid);

    is(join(' ', sort map { $_->{path} } @{ $list->{databases} }), $running,
        "$user: what it replicates");

    my ($st) = grep { $_->{pid} && $_->{pid} == $pid }
        @{ $t->status->{litestream} };

    is("$st->{user} $st->{state}", "$user up", "$user: status");
    like($st->{group}, qr/^$uid-file-/, "$user: its group");
}

if (@users > 1) {
    isnt((stat $db{a}->path)[4], (stat $db{b}->path)[4], 'two owners');

    my $file = config_of($pid{(ids($two))[0]})->{file};

    is(($t->as_user($one, 'cat', $file))[0], 1,
        'one cannot read the configuration of the other');
    is(($t->as_user($two, 'cat', $file))[0], 0, 'its owner can');

    # the end of one is not the end of the other

    my ($x, $y) = map { $pid{(ids($_))[0]} } $one, $two;

    $t->signal('KILL', $x);

    ok($t->waituntil(sub {
        my @now = $t->litestream_pids;
        return @now == 2 && !grep { $_ == $x } @now;
    }), 'killed and started again');
    is(join(' ', grep { $_ == $y } $t->litestream_pids), $y,
        'the other goes on');

    my %st = map { $_->{user} => $_ } @{ $t->status->{litestream} };

    is("$st{$one}{restarts} $st{$two}{restarts}", '1 0', 'restarts');
    is($st{$one}{last_exit}, 'exited on signal 9', 'how it has ended');
    is($st{$two}{last_exit}, undef, 'the other has not');
}

# verifications: each as its owner

is($t->waitforstate('a', 'replicating'), 'replicating', 'a: replicating');

for (qw/ a b /) {
    my $v = $t->api("verify/$_", method => 'POST', body => '');
    my ($uid) = ids($user{$_});

    is($v->{verified}, 1, "$_: verified") or diag($v->{error});
    is(join(' ', map { $_->[1] } grep { $_->[2] =~ m!^restore .*/$_->[0]! ||
        $_->[2] =~ m!^restore .*\Q$dir\E/$v->{alias}/! } $t->fake_calls), $uid,
        "$_: by its owner");
}

# one that may not be read, one that may not be written

is($t->waitforstate('read', 'error'), 'error', 'not readable');
like($t->database('read')->{error}, qr/permission denied/, 'not readable: why');
is($t->waitforstate('write', 'error'), 'error', 'not writable');
like($t->database('write')->{error}, qr/permission denied/,
    'not writable: why');

is($t->status->{ready}, 1, 'they are there for their applications');
like(json(response(http_get('/litestream/ready?replicating=1'))->{body})
    ->{databases}{write}, qr/^error: .*permission denied/, 'ready says why');

for (qw/ read write /) {
    my $v = $t->api("verify/$_?timeout=20s", method => 'POST', body => '');

    like($v->{error}, qr/permission denied/, "$_: not verified");
}

is($t->database($_)->{state}, 'replicating', "$_: not touched by that")
    for qw/ a b /;

# it passes by itself

chmod 0700, "$dir/replica/read", "$dir/replica/write";

is($t->waitforstate($_, 'replicating', 40), 'replicating', "$_: it passes")
    for qw/ read write /;

is($t->database('write')->{error}, undef, 'no error any more');
