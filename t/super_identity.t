#!/usr/bin/perl

# Who runs as whom, and with what: Litestream and jobs are the database's
# owner, in a session of their own, with an environment and descriptors of
# their own, and without a secret in their arguments.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ alive children cmdline config_of environment fds
    proc_stat proc_status /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(39)
    ->expect_alerts(qr/litestream supervisor process \d+ exited on signal 9/);

my $dir = $t->testdir;
my ($user, $group, $uid, $gid) = $t->user;
my $worker_uid = ($t->worker_user)[2];

$t->fake('restore: times 1', 'restore: sleep 600000');

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;
env  TEST_FOR_WORKERS;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_log  %%TESTDIR%%/litestream.log;

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

my $db = $t->db('app', rows => 3);
$t->db_dir('replica');

$t->run(env => {
    AWS_CA_BUNDLE => '/nonexistent/ca.pem',
    AWS_SECRET_ACCESS_KEY => 'a secret of somebody',
    LITESTREAM_ACCESS_KEY_ID => 'another one',
    LITESTREAM_CONFIG => '/nonexistent/litestream.yml',
    LOG_LEVEL => 'trace',
    TEST_FOR_WORKERS => 'not for Litestream',
    LD_PRELOAD => '',
    SSL_CERT_DIR => '/nonexistent/certs',
    (map { $_ => undef, lc $_ => undef, uc $_ => undef }
        qw/ http_proxy https_proxy no_proxy ssl_cert_file /),
    TZ => 'UTC',
});

my $super = $t->supervisor_pid;

is(join(' ', @{ $t->uid_of($super)->{uid} }), join(' ', ($>) x 4),
    'the supervisor is whoever the master is');
is(join(' ', @{ $t->uid_of(($t->worker_pids)[0])->{uid} }),
    join(' ', ($worker_uid) x 4), 'workers are the user of nginx');

# a job that verifies the database, and the program that it runs

$t->waitforstate('app', 'replicating', 30);

my $verify = http_post('/litestream/verify/app', '', start => 1);
my $program;

ok($t->waituntil(sub {
    ($program) = map { children($_) } $t->job_pids;
    return $program && cmdline($program) =~ / restore /
        && asleep($program);
}), 'a job');

my $job = proc_stat($program)->{ppid};

identity($_->[0], $_->[1])
    for [ 'job', $job ], [ 'its program', $program ];

environment_of('its program', $program);

is(join(' ', grep { $_ !~ m!^(/dev/null|pipe:|socket:|/tmp/ngls-)! }
    map { $_->{target} } fds($program)), '', 'its program: descriptors');

is(proc_status($program)->{SigBlk}, '0' x 16,
    'its program: no signal is blocked');

# the supervisor is killed: jobs end, with all they have started

$t->signal('KILL', $super);
ok($t->waituntil(sub { !alive($job) && !alive($program) }),
    'jobs end with their supervisor');

# Litestream

my $pid;

$t->waituntil(sub {
    my $st = $t->status;

    ($pid) = $t->litestream_pids;
    return $pid && $st && ($st->{litestream}[0]{pid} // 0) == $pid;
}, 30);

is($t->waitforstate('app', 'replicating', 30), 'replicating', 'replicating');

identity('Litestream', $pid);
environment_of('Litestream', $pid);

is(join("\n", $t->check_fds($pid)), '', 'Litestream: descriptors');
is(scalar(grep { ($_->{lock} // '') eq 'FLOCK' } fds($pid)), 2,
    'Litestream: locks');

my @pipes = grep { $_->{target} =~ /^pipe:/ } fds($pid);
my %modes = map { (proc_flags($pid, $_->{fd}) & 3) => $_->{target} } @pipes;

is(join(' ', sort keys %modes), '0 1', 'Litestream: both ends of its log');
is($modes{0}, $modes{1}, 'Litestream: it is one pipe');

my $yml = config_of($pid)->{file};

is(cmdline($pid), $t->litestream . " replicate -no-expand-env -config $yml",
    'Litestream: arguments');
is(proc_stat($pid)->{pgrp}, $pid, 'Litestream: process group');
is(proc_stat($pid)->{session}, $pid, 'Litestream: session');
is(readlink "/proc/$pid/cwd", '/', 'Litestream: directory');

# files

is(mode($t->state_path), "711 $> directory", 'state');
is(mode("$dir/s/status"), "644 $> file", 'status');
is(mode("$dir/s/supervisor.sock"), "600 $worker_uid socket",
    'supervisor.sock');
is(mode($yml =~ s!/[^/]+$!!r), "711 $> directory", 'group');
is(mode($yml), "400 $uid file", 'litestream.yml');
is(mode($yml =~ s!/[^/]+$!/run!r), "700 $uid directory", 'run');
is(mode(config_of($pid)->{socket}), "600 $uid socket", 'control socket');

ok($t->quit(), 'quit');


sub identity {
    my ($name, $pid) = @_;

    my $id = $t->uid_of($pid);

    is(join(' ', @{ $id->{uid} }), join(' ', ($uid) x 4), "$name: uid");
    is(join(' ', @{ $id->{gid} }), join(' ', ($gid) x 4), "$name: gid");

    my ($rc, $groups) = $t->command('id', '-G', $user);
    my %groups = map { $_ => 1 } $gid, @{ $id->{groups} };

    is(join(' ', sort keys %groups), join(' ', sort split ' ', $groups),
        "$name: groups");
    is($id->{capabilities}, $uid ? '0' x 16 : $id->{capabilities},
        "$name: capabilities");
}


# the stand-in is read by perl first, from files that it opens

sub asleep {
    my ($pid) = @_;
    return grep { $_->[0] == $pid } $t->fake_calls;
}


sub environment_of {
    my ($name, $pid) = @_;

    my $env = environment($pid);

    is(join(' ', sort keys %$env), 'HOME PATH SSL_CERT_DIR TMPDIR TZ',
        "$name: environment");
    like($env->{TMPDIR}, qr!^\Q$dir\E/s/[^/]+/run$!, "$name: TMPDIR");
}


sub proc_flags {
    my ($pid, $fd) = @_;

    my $text = Test::Litestream::Proc::slurp("/proc/$pid/fdinfo/$fd");
    return $text =~ /^flags:\s+(\d+)/m ? oct $1 : -1;
}


sub mode {
    my ($path) = @_;

    my @st = lstat $path or return "$path: $!";

    return sprintf '%o %d %s', $st[2] & 07777, $st[4],
        -d _ ? 'directory' : -S _ ? 'socket' : -f _ ? 'file' : 'other';
}
