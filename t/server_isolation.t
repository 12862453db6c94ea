#!/usr/bin/perl

# Two sites of two owners: two Litestreams, and nothing that one user could
# read of the other.  What befalls one site, a replica that is denied, a
# Litestream that hangs or is killed, the other one does not notice: not at the
# start, not while they run, not at a reload, not at the end.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Command qw/ ids /;
use Test::Litestream::Proc qw/ alive config_of /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(56);

my $dir = $t->testdir;

# a plain user has only itself: then another setting makes two Litestreams

my $one = ($t->user)[0];
my ($two) = $> != 0 ? $one
    : grep { $_ ne ($t->worker_user)[0] && getpwnam($_) } qw/ daemon games /;

my %user = (shop => $one, blog => $two);
my %port = (shop => 8080, blog => 8081);

my $conf = <<'EOC';

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_shutdown_timeout  5s;

    litestream_replica  file://%%TESTDIR%%/replica;

    server {
        listen         127.0.0.1:8080;
        litestream_db  shop %%TESTDIR%%/shop/db.sqlite3;

        location /litestream/ {
            litestream_api  write=on;
        }
    }

    server {
        listen               127.0.0.1:8081;
        litestream_db        blog %%TESTDIR%%/blog/db.sqlite3;
        litestream_snapshot  retention=2d;

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOC

$t->write_file_expand('nginx.conf', $conf);

my %db = map { $_ => $t->db($_, user => $user{$_}, rows => 3) } keys %user;

$t->db_dir('replica', user => $>);

for (keys %user) {
    mkdir "$dir/replica/$_", 0700 or die "mkdir() failed: $!\n";
    chown ids($user{$_}), "$dir/replica/$_" if $> == 0;
}

$t->run();

is(state($_), 'replicating', "$_: replicating") for qw/ shop blog /;

my %pid;

ok($t->waituntil(sub { find() == 2 }), 'two Litestreams');
isnt($pid{shop}, $pid{blog}, 'one for each');

# who they are, and what another user sees of them

for my $site (qw/ shop blog /) {
    my $other = $site eq 'shop' ? 'blog' : 'shop';
    my ($uid, $gid) = ids($user{$site});
    my $who = $t->uid_of($pid{$site});

    is("@{ $who->{uid} }", join(' ', ($uid) x 4), "$site: its user");
    is("@{ $who->{gid} }", join(' ', ($gid) x 4), "$site: its group");

    my $own = config_of($pid{$site});
    my $folder = $own->{file} =~ s!/[^/]+$!!r;

    is(join(' ', grep { /sqlite3$/ } @{ $own->{paths} }), $db{$site}->path,
        "$site: its databases");

    # a plain user's tests can only look at modes

    is((stat $own->{file})[4], $uid, "$site: its configuration is its user's");
    is((stat $own->{file})[2] & 0077, 0, "$site: and nobody else's");
    is((stat "$folder/jobs.yml")[2] & 0077, 0, "$site: that of jobs, too");
    is((stat "$folder/run")[2] & 0077, 0, "$site: nor its copies");

    for my $what ("cat $own->{file}", "cat $folder/jobs.yml",
        "ls $folder/run", "ls $dir/replica/$site",
        "test -w $own->{socket} -o -r $own->{socket}")
    {
        my @mine = $t->as_user($user{$site}, '/bin/sh', '-c', $what);
        my @his = $> == 0
            ? $t->as_user($user{$other}, '/bin/sh', '-c', $what) : (1);

        ok($mine[0] == 0 && $his[0] != 0, "$site: alone may " .
            $what =~ s!\S+/!!gr);
    }
}

# a site's API does not know of the other one

is(get('blog', 'status/shop')->{status}, 404, 'the other one is not there');

# killed: only its own is started again

my %before = %pid;

$t->signal('KILL', $pid{shop});

ok($t->waituntil(sub { find() == 2 && $pid{shop} != $before{shop} }),
    'killed: started again');
is($pid{blog}, $before{blog}, 'killed: the other one is the same');
is(state('shop'), 'replicating', 'killed: replicating again');

# hangs: the other one goes on

$t->signal('STOP', $pid{shop});

$db{blog}->insert(1, 'while the other one hangs');

is(post('blog', 'sync/blog')->{status}, 200, 'hangs: the other one syncs');
is(post('blog', 'verify/blog')->{status}, 200, 'hangs: and verifies');
is(get('blog', 'ready?replicating=1&max_lag=10s')->{status}, 200,
    'hangs: and is ready');

$t->signal('CONT', $pid{shop}) if alive($pid{shop});

is(state('shop'), 'replicating', 'hangs no more');

# denied while they run, then a reload that takes all down and up again

chmod 0000, "$dir/replica/shop";
chown 0, 0, "$dir/replica/shop" if $> == 0;

$db{shop}->insert(1, 'denied');
$db{blog}->insert(1, 'not denied');

my $super = $t->supervisor_pid;

$t->write_file_expand('nginx.conf', $conf =~ s/timeout  5s/timeout  4s/r);

ok($t->reload(), 'reload');
ok($t->waituntil(sub {
    my $pid = $t->supervisor_pid;
    return $pid && $pid != $super && supervisor() == $pid;
}, 30), 'another supervisor');

is(state('blog'), 'replicating', 'denied: the other one is replicated');
is(state('shop'), 'error', 'denied: state');
is(get('shop', 'ready')->{status}, 200, 'denied: present, so it is ready');
is(get('blog', 'ready?replicating=1')->{status}, 200,
    'denied: the other one is');
is(post('blog', 'sync/blog')->{status}, 200, 'denied: it syncs');
ok(!defined json(get('blog', 'status')->{body})->{databases}[0]{error},
    'denied: it has no error');

# the end

$db{blog}->insert(1, 'at the end');

my $start = $t->now;

ok($t->quit(), 'quit');
cmp_ok($t->now - $start, '<', $t->ceiling(12), 'in time');
is($db{blog}->restore_count("file://$dir/replica/blog"), $db{blog}->count,
    'the last commit of the other one is safe');

# a start

$db{$_}->remove() for qw/ shop blog /;

my ($rc, $err) = $t->try_run();

is($rc, 0, 'both missing, one denied: nginx starts') or diag($err);
is(state('blog'), 'replicating', 'the other one is restored');
is($db{blog}->count, 6, 'with its rows');
is(get('blog', 'ready?replicating=1')->{status}, 200, 'and ready');
is(state('shop'), 'error', 'the denied one is not');
is(get('shop', 'ready')->{status}, 503, 'nor is it ready');
ok(!-e $db{shop}->path, 'nothing was made');

# and back

chown ids($user{shop}), "$dir/replica/shop" if $> == 0;
chmod 0700, "$dir/replica/shop";

is(state('shop', 40), 'replicating', 'restored once it may be');
cmp_ok($db{shop}->count, '>=', 3, 'with its rows');


sub get {
    my ($site, $uri) = @_;
    return response(http_get("/litestream/$uri",
        peer => '127.0.0.1:' . port($port{$site})));
}


sub post {
    my ($site, $uri) = @_;
    return response(http_post("/litestream/$uri", '',
        peer => '127.0.0.1:' . port($port{$site})));
}


# until it is not under way any more

sub state {
    my ($site, $ceiling) = @_;
    my $want = $ceiling ? qr/^replicating$/ : qr/^(replicating|error)$/;
    my $state = '';

    $t->waituntil(sub {
        my $st = eval { json(get($site, 'status')->{body}) } || {};
        $state = $st->{databases}[0]{state} // '';
        return $state =~ $want;
    }, $ceiling // 20);

    return $state;
}


sub supervisor {
    my $st = eval { json(get('blog', 'status')->{body}) } || {};
    return $st->{supervisor}{pid} // 0;
}


sub find {
    %pid = ();

    for my $pid ($t->litestream_pids) {
        my $list = $t->control('/list', pid => $pid) || {};
        $pid{(split '/', $_->{path})[-2]} = $pid
            for @{ $list->{databases} || [] };
    }

    return scalar keys %pid;
}
