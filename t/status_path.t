#!/usr/bin/perl

# The state path: who owns what there and who may do what, as designed; one
# that others may write, or that is not ours, is refused.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use IO::Socket::UNIX;
use Socket qw/ SOCK_SEQPACKET SOCK_STREAM /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(34 - ($> && 10));

my $dir = $t->testdir;
my (undef, undef, $uid) = $t->user;
my (undef, undef, $worker) = $t->worker_user;

$t->state_path("$dir/a/b/s");

$t->write_file_expand('nginx.conf', <<'EOF');

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

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOF

$t->db('app', rows => 7);
$t->db_dir('replica');

umask 0;
$t->run();
umask 022;

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
is($t->api('verify/app', method => 'POST', body => '')->{verified}, 1,
    'verified');

# it was made with its parents

my ($group) = glob "$dir/a/b/s/*-file-*";

is(who("$dir/a"), "40755 $>", 'parents');
is(who("$dir/a/b/s"), "40711 $>", 'the path');
is(who("$dir/a/b/s/status"), "100644 $>", 'status');
is(who("$dir/a/b/s/supervisor.sock"), "140600 $worker", 'supervisor.sock');
is(who($group), "40711 $>", 'folder of a group');
like($group, qr!/$uid-file-[0-9a-f]{8}$!, 'its name');
is(who("$group/litestream.yml"), "100400 $uid", 'litestream.yml');
is(who("$group/jobs.yml"), "100400 $uid", 'jobs.yml');
is(who("$group/jobs.env"), "100400 $uid", 'jobs.env');
is(who("$group/run"), "40700 $uid", 'run');
is(who("$group/run/litestream.sock"), "140600 $uid", 'litestream.sock');

ok($t->waituntil(sub { -f "$dir/a/b/s/replicas" }), 'memory');
is(who("$dir/a/b/s/replicas"), "100600 $>", 'memory of replicas');

# "replicas" is written anew now and then, by way of "replicas.new"

my $there;

$t->waituntil(sub {
    $there = join ' ',
        sort map { s/^\d+-file-\w+$/GROUP/r } names("$dir/a/b/s");
    return $there !~ /\.new\b/;
});

is($there, 'GROUP replicas status supervisor.sock', 'nothing else there');
is(join(' ', sort(names($group))), 'jobs.env jobs.yml litestream.yml run',
    'nothing else in the folder of the group');
is(join(' ', names("$group/run")), 'litestream.sock', 'nothing else in run');

# who may connect

if ($> == 0) {
    my ($other) = grep { defined && $_ != $worker && $_ != $uid }
        map { scalar getpwnam($_) } qw/ games bin sys mail /;

    my $super = "$dir/a/b/s/supervisor.sock";
    my $control = "$group/run/litestream.sock";

    is(connects($worker, SOCK_SEQPACKET, $super), 'yes', 'worker: supervisor');
    is(connects(0, SOCK_SEQPACKET, $super), 'yes', 'root: supervisor');
    is(connects($other, SOCK_SEQPACKET, $super), 'no', 'other: supervisor');
    is(connects($uid, SOCK_SEQPACKET, $super), 'no', 'database: supervisor');

    is(connects($uid, SOCK_STREAM, $control), 'yes', 'database: Litestream');
    is(connects($worker, SOCK_STREAM, $control), 'no', 'worker: Litestream');
    is(connects($other, SOCK_STREAM, $control), 'no', 'other: Litestream');
}

# a mode that lets others in does not help them: the kernel says who it is

if ($> == 0) {
    chmod 0666, "$dir/a/b/s/supervisor.sock";

    is(connects($uid, SOCK_SEQPACKET, "$dir/a/b/s/supervisor.sock"),
        'refused', 'any mode: refused');
    ok($t->waitforlog(qr/\[error\].*connection of user $uid refused/),
        'it is said');
}

ok($t->quit(), 'quit');

# refused: others may write, it is somebody else's, it is a link

chmod 0777, "$dir/a/b/s";
refused('others may write');

chmod 0731, "$dir/a/b/s";
refused('the group may write');

chmod 0711, "$dir/a/b/s";

if ($> == 0) {
    chown $uid, -1, "$dir/a/b/s";
    refused('somebody else owns it');
    chown 0, -1, "$dir/a/b/s";
}

rename "$dir/a/b/s", "$dir/a/b/t" or die "rename() failed: $!\n";
symlink "$dir/a/b/t", "$dir/a/b/s" or die "symlink() failed: $!\n";
refused('a link');

unlink "$dir/a/b/s";
rename "$dir/a/b/t", "$dir/a/b/s" or die "rename() failed: $!\n";

# what is ours is kept, modes are put right

chmod 0755, "$dir/a/b/s";
chmod 0777, $group, "$group/run";

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'as before');
is(join(' ', who($group), who("$group/run")), "40711 $> 40700 $uid",
    'modes are put right');


sub who {
    my @st = lstat $_[0] or return "no $_[0]";
    return sprintf '%o %d', @st[2, 4];
}


sub names {
    opendir my $d, $_[0] or die "opendir($_[0]) failed: $!\n";
    return grep { !/^\.\.?$/ } readdir $d;
}


sub connects {
    my ($user, $type, $path) = @_;

    my ($rc, $out, $err) = $t->as_user($user, $^X, '-MIO::Socket::UNIX', '-e',
        'my $s = IO::Socket::UNIX->new(Peer => $ARGV[1], Type => $ARGV[0])'
        . ' or do { print "no"; exit };'
        . 'my $r = ""; vec($r, fileno($s), 1) = 1;'
        . 'print select($r, undef, undef, 0.3) > 0 ? "refused" : "yes";',
        $type, $path);

    return $out;
}


sub refused {
    my ($name) = @_;

    my ($rc, $err) = $t->try_run();

    is("$rc " . ($err =~ /(\[emerg\] .*)/ ? $1 : $err),
        qq(1 [emerg] litestream: "$dir/a/b/s" must be a directory of user $> )
        . 'that nobody else may write', $name);
}
