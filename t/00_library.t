#!/usr/bin/perl

# What the other tests rely on: the checks that plan() adds do fail when there
# is a reason, and databases are written, replicated and restored as the user
# that they belong to.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Command qw/ become /;
use Test::Litestream::Proc qw/ alive foreign_fds uid_of /;

my $t = Test::Litestream->new()->has(qw/http proxy/)
    ->has_daemon(qw/litestream sqlite3/)->plan(45);

my $dir = $t->testdir;
my ($user, $group, $uid, $gid) = $t->user;

# users and directories

my $db = $t->db('app', rows => 3);
my @st = stat $db->path;

is("@st[4, 5]", "$uid $gid", 'the file belongs to its user');
is((stat $db->dir)[4], $uid, 'the directory, too');
is($db->sql('PRAGMA journal_mode;'), 'wal', 'WAL');
is($db->count, 3, 'rows');
is($db->insert(2), 5, 'insert');
is($db->integrity, 'ok', 'integrity');
is($db->count('id > 3'), 2, 'rows that fit');
cmp_ok($t->db('big', size => 1000000)->size, '>', 1000000, 'size');

my ($rc, $out) = $t->as_user($user, 'id', '-u');
is("$rc $out", "0 $uid\n", 'as another user');

is(($t->command('sh', '-c', 'exit 3'))[0], 3, 'exit code');
is(($t->command('sh', '-c', 'kill -9 $$'))[0], 137, 'signal');
is(($t->command({ stdin => 'x' }, 'cat'))[1], 'x', 'standard input');

# a replica

my $url = "file://$dir/replica";

$t->db_dir($_) for qw/ replica run /;

is($db->restore_count($url), -1, 'nothing to restore');
is_deeply($db->ltx($url), [], 'nothing in the replica');

my $yml = $t->write_file('litestream.yml', <<EOF);
socket:
  enabled: true
  path: "$dir/run/litestream.sock"
dbs:
  - path: "${\ $db->path }"
    replica:
      type: file
      path: "$dir/replica"
EOF

my $pid = litestream();

ok($t->waitforsocket("$dir/run/litestream.sock"), 'control socket');
ok($t->waituntil(sub { $db->restore_count($url) == 5 }), 'replicated');
is_deeply(uid_of($pid)->{uid}, [ ($uid) x 4 ], 'uids of a process');
is_deeply([ foreign_fds($pid) ], [], 'no foreign descriptors');
like(response(http_unix("$dir/run/litestream.sock", '/info'))->{body},
    qr/"pid":$pid\b/, 'control socket answers');

my $writer = $db->writer(rate => 100);

ok($writer->wait(30), 'writer');

my @acked = $writer->stop;

cmp_ok(scalar @acked, '>=', 30, 'acknowledged commits');
is($db->count($writer->where), @acked, 'all of them are there');

$t->stop_daemon($pid);

my $copy = $db->restore($url);

is(join(' ', $writer->lost($copy)), '', 'all of them are in the replica');

$copy->sql('DELETE FROM t WHERE v LIKE \'w%-7\';');

is(join(' ', $writer->lost($copy)), '7', 'a lost one is seen');
is($db->txid($url), (sort map { $_->{max_txid} } @{ $db->ltx($url) })[-1],
    'txid');

# foreign descriptors

my $other = $t->db('other')->path;

$pid = litestream($other, "$dir/stderr.log", "$dir/other");

ok($t->waitforsocket("$dir/run/litestream.sock"), 'control socket again');

is(join(' ', sort map { s/.* -> //r } foreign_fds($pid)),
    "$dir/other $other $dir/stderr.log", 'foreign descriptors');

$t->stop_daemon($pid);

$db->remove;

is(join(' ', glob "$dir/app/* $dir/app/.d*"), '', 'removed');
is($db->count, -1, 'no database');

# the stand-in

my $fake = $t->fake('stderr hello %PID%', 'exit 3');

is(($t->as_user($user, $fake, 'version'))[1], "0.5.17\n", 'stand-in: version');
like(join(' ', $t->as_user($user, $fake, 'replicate')), qr/^3  hello \d+/,
    'stand-in: exit');

$t->fake_mode('times 1', 'kill SEGV');

is(($t->as_user($user, $fake, 'replicate'))[0], 139, 'stand-in: signal');
like(join(' ', $t->as_user($user, $fake, 'replicate', '-config', '/no')),
    qr/^1 .*config file not found/, 'stand-in: then the real one');

is(join(' ', map { $_->[2] } $t->fake_calls),
    'version replicate replicate replicate -config /no', 'stand-in: calls');

$t->fake_mode('answer POST /sync 500 {"error":"no"}', 'serve');

$pid = $t->run_daemon($fake, 'replicate', '-config', $yml);

ok($t->waitforsocket("$dir/run/litestream.sock"), 'stand-in: control socket');
like(http_unix("$dir/run/litestream.sock", '/info'), qr/"pid":$pid\b/,
    'stand-in: default answer');
like(http_unix("$dir/run/litestream.sock", '/sync', method => 'POST'),
    qr/ 500 .*"error":"no"/s, 'stand-in: answer');
is($t->stop_daemon($pid), 0, 'stand-in: ends');

# ports of tests that run at the same time

my @inner = map { start_inner('print STDERR "port " . port(8080) . "\n";'
    . '$t->waitforfile("' . $dir . '/go");') } 1 .. 3;

$t->waituntil(sub { 3 == grep { ($t->read_file($_) // '') =~ /^port/m }
    map { $_->{name} } @inner });
$t->write_file('go', '');

my %ports = map { $_ => 1 } port(8080), map { end_inner($_) =~ /port (\d+)/ }
    @inner;

is(scalar(keys %ports), 4, 'different ports');

# the hidden tests: each has to fail for its reason alone

my $got = inner('kill 9, $t->worker_pids; $t->waitforlog(qr/on signal 9/);');

like($got, qr/^not ok 2 - no alerts/m, 'an alert');
like($got, qr/^ok 4 - no process left over/m, 'no process');

$got = inner('$t->write_file("stderr.log", "x.c:1: runtime error: y\n");');

like($got, qr/^not ok 3 - no sanitizer errors/m, 'a sanitizer error');

$got = inner('$t->patience(1);'
    . 'my $pid = fork() // die;'
    . 'unless ($pid) { chdir $t->testdir; exec "sleep", 1000 }'
    . '$t->waituntil(sub { (readlink("/proc/$pid/exe") // "") =~ /sleep/ });');

like($got, qr/^not ok 4 - no process left over/m, 'a process');

my ($left) = $got =~ /(\d+) is left over: sleep 1000/;

ok($left && !alive($left), 'it was killed');

is(join(' ', grep { -d } $got =~ m!(/tmp/ngls-\w+)!g), '', 'nothing is left');


# as the user of the database, with descriptors as the module gives them and
# with others

sub litestream {
    my @more = @_;

    return $t->run_daemon(sub {
        my @open;

        $^F = 1000;

        pipe my $read, my $write or die "pipe() failed: $!\n";

        for ($db->dir, @more) {
            sysopen my $f, $_, 0 or die "open($_) failed: $!\n";
            flock $f, 6 if $_ eq $db->dir;
            push @open, $f;
        }

        become($user);

        POSIX::dup2(fileno($write), $_) for 1, 2;

        my %own = map { fileno($_) => 1 } $read, $write, @open;
        POSIX::close($_) for grep { !$own{$_} } 3 .. 1023;

        exec $t->litestream, 'replicate', '-config', $yml;
    });
}


# tests of their own

sub start_inner {
    my ($code) = @_;

    my $name = 'inner-' . ++$t->{inner};

    $t->write_file("$name.t", <<"EOF");
use Test::More;
use Test::Litestream;

my \$t = Test::Litestream->new()->plan(1);

\$t->litestream_bin(undef);
\$t->state_path(undef);
\$t->write_file_expand('nginx.conf', <<'CONF');
%%TEST_GLOBALS%%
daemon off;
events { }
http {
    %%TEST_GLOBALS_HTTP%%
    server { listen 127.0.0.1:8080; }
}
CONF

\$t->run();
is(response(http_get('/no'))->{status}, 404, 'it runs');
$code
EOF

    my $test = $t->run_daemon('sh', '-c', "exec >$dir/$name.out 2>&1;"
        . "exec $^X -w -Ilib $dir/$name.t");

    return { pid => $test, name => "$name.out" };
}


sub end_inner {
    my ($inner) = @_;

    $t->waituntil(sub { !alive($inner->{pid}) }, 60);
    return $t->read_file($inner->{name});
}


sub inner { return end_inner(start_inner(@_)) }
