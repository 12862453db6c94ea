#!/usr/bin/perl

# nginx-litestream and S3: a replica of nginx is reached with nginx's own keys,
# which are nowhere to be seen; another one with those of the environment; a
# storage that refuses, or that does not answer, is said in one line.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::CLI;
use Test::Litestream::Command qw/ wait_for /;
use Test::Litestream::Proc qw/ children cmdline slurp /;
use Test::Litestream::S3;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(36);

my $dir = $t->testdir;
my $s3 = Test::Litestream::S3->new($t, secret => 'pa$$w0rd-of-the-backup');

$s3->start();
$t->fake();

$t->write_file('.env', join "\n", 'LITESTREAM_ACCESS_KEY_ID=' . $s3->key,
    "LITESTREAM_SECRET_ACCESS_KEY='${\ $s3->secret }'", '');
chmod 0600, "$dir/.env";

$t->write_file_expand('nginx.conf', <<'EOF' =~ s/S3URL/$s3->url('backups')/er);

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_env_file  %%TESTDIR%%/.env;
    litestream_replica   S3URL;
    litestream_db        app %%TESTDIR%%/app/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

my $db = $t->db('app', rows => 5);
my %bundle = (AWS_CA_BUNDLE => '/etc/ssl/certs/ca-certificates.crt');

$t->run(env => \%bundle);

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

my $url = $t->database('app')->{replica}{url};

for my $what ('up', 'down') {
    my ($rc, $out, $err) = cli($t, { env => \%bundle }, 'ltx', 'app');

    is("$rc$err", '0', "$what: ltx: exit code");
    like($out, qr/^0 +0{15}1 /m, "$what: ltx");

    ($rc, $out, $err) = cli($t, { env => \%bundle }, 'restore', '-json', $url);

    is("$rc$err", '0', "$what: the URL that nginx shows: exit code");

    my $r = json($out);

    is("$r->{alias} $r->{replica}", 'app s3', "$what: whose it is");
    is(Test::Litestream::DB->new($r->{db_path})->count, 5, "$what: rows");
    unlink $r->{db_path};

    ok($t->quit(), 'quit') if $what eq 'up';
}

# the key is in the environment of Litestream, and in files of its user

$t->fake_mode('ltx: await go');

my ($pid, $said) = cli_start($t, 'ltx', 'app');
my @ltx;

ok($t->waituntil(sub { @ltx = grep { cmdline($_) =~ m! ltx .*jobs\.yml! }
    children($pid) }), 'it runs');
is(join(' ', grep { cmdline($_) =~ /pa\$\$w0rd/ } $pid, @ltx), '',
    'the key is in no list of arguments');
is($t->uid_of($ltx[0])->{uid}[0], ($t->user)[2], 'the user of Litestream');
like(slurp("/proc/$ltx[0]/environ"), qr/SECRET_ACCESS_KEY=pa\$\$w0rd/,
    'the environment of Litestream');
unlike(slurp("/proc/$ltx[0]/environ"), qr/AWS_CA_BUNDLE/,
    'and what is not in it');

$t->write_file('fake/go', '');
is(wait_for($pid, 10), 0, 'it ends') or diag($said->());

# of the environment

my %path = (PATH => "$dir/fake:$ENV{PATH}", %bundle);
my $other = $s3->url('backups/app');

my ($rc, $out, $err) = cli($t, { env => { %path, %{ $s3->env } } }, 'restore',
    '-o', "$dir/copy", $other);

is("$rc$err", '0', 'another URL: exit code');
is(Test::Litestream::DB->new("$dir/copy")->count, 5, 'another URL');
unlink "$dir/copy";

($rc, $out, $err) = cli($t, { env => { %path, %{ $s3->env },
    LITESTREAM_SECRET_ACCESS_KEY => 'wrong' } }, 'ltx', '-json', $other);

is("$rc ${\ scalar(() = $err =~ /\n/g)}", '1 1', 'denied: exit code, a line');
unlike($err, qr/RequestID|HostID/, 'denied: without numbers');

($rc, $out, $err) = cli($t, { env => { %path, %{ $s3->env },
    LITESTREAM_SECRET_ACCESS_KEY => 'wrong' } }, 'restore', '-json', '-o',
    "$dir/copy", $other);

like($err, qr/^nginx-litestream: "\Q$other\E": not restored: (?!get )/,
    'denied: a restore');
like(json($out)->{error}, qr/StatusCode: 403/, 'denied');
unlike("$out$err", qr/wrong/, 'denied: no key');

# it does not answer

$s3->signal('STOP');

($rc, $out, $err) = cli($t, 'restore', '-t', '2s', 'app');

is($rc, 124, 'it hangs: exit code');
like($err, qr/made\ no\ progress\ within\ 2\ s,\ it\ was\ ended:\ "\S+"\ takes
    \ connections,\ but\ has\ not\ answered\n\z/x, 'it hangs');

$s3->signal('CONT');

# it is away

$s3->stop();

($rc, $out, $err) = cli($t, 'restore', '-t', '2s', 'app');

is($rc, 124, 'it is away: exit code');
like($err, qr/made no progress within 2 s, it was ended: "\Q${\ $s3->endpoint
    }\E" cannot be reached: Connection refused\n\z/, 'it is away: the reason');

($rc, $out, $err) = cli($t, { env => { %path, %{ $s3->env } } }, 'ltx', '-t',
    '2s', $other);

is($rc, 124, 'it is away, a URL: exit code');
like($err, qr/cannot be reached: Connection refused\n\z/,
    'it is away, a URL: the reason');

# and nginx starts: status knows before the first look has ended

$t->run(env => \%bundle);

ok($t->waituntil(sub { $t->database('app')->{error} }), 'away: an error');
is($t->database('app')->{state}, 'checking', 'away: still looking');
is((cli($t, 'status'))[0], 1, 'away: exit code');

$s3->start();

is($t->waitforstate('app', 'replicating', 60), 'replicating', 'back');
is((cli($t, 'status'))[0], 0, 'back: exit code');
