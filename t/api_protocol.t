#!/usr/bin/perl

# supervisor.sock takes what its protocol has, from workers and root; anything
# else ends that connection and disturbs nobody.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use IO::Socket::UNIX;
use Socket qw/ SOCK_SEQPACKET SOCK_STREAM MSG_NOSIGNAL /;

use constant { WORKER => 1, COMMAND => 2, HANDOVER => 3, SYNC => 4,
    VERIFY => 5, SIZE => 1184 };

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(41 - ($> && 2));

my $dir = $t->testdir;
my $path = "$dir/s/supervisor.sock";

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

my $db = $t->db('app', rows => 7);

$t->db_dir('replica');
$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

my $super = $t->supervisor_pid;
my $id = id($db->path);

# what it is for

my $s = peer(COMMAND);

send_to($s, type => SYNC, ticket => 77, db => $id, timeout => 10000);
my $r = answer($s);

is("$r->{type} $r->{ticket} $r->{status}", SYNC . ' 77 200', 'sync');
cmp_ok($r->{txid}, '>', 0, 'sync: txid');

send_to($s, type => VERIFY, ticket => 78, db => $id);
$r = answer($s);

is("$r->{type} $r->{ticket} $r->{status} $r->{error}", VERIFY . ' 78 200 ',
    'verify');

my $high = unpack 'Q', "\xff" x 8;

send_to($s, type => SYNC, db => $id ^ 1, ticket => $high);
$r = answer($s);

is("$r->{ticket} $r->{status} $r->{error}",
    "$high 404 unknown to the supervisor", 'an unknown database');

for (0, WORKER, COMMAND, HANDOVER, 99, 0xffffffff) {
    send_to($s, type => $_, db => $id);
    $r = answer($s);
    is("$r->{status} $r->{error}", '404 unknown action', "type $_");
}

send_to($s, type => SYNC, db => $id, timeout => 0xffffffff);
is(answer($s)->{status}, 200, 'a timeout that is too long');

send_to($s, type => VERIFY, db => $id, mode => 0xffffffff, error => 'x' x 512);
is(answer($s)->{status}, 200, 'anything in what is not looked at');

# several questions of one, answered in any order

send_to($s, type => SYNC, db => $id, ticket => $_, timeout => 10000)
    for 1 .. 50;

is(join(' ', sort { $a <=> $b } map { answer($s)->{ticket} } 1 .. 50),
    join(' ', 1 .. 50), 'fifty questions');

# nothing, or not enough, or too much, or of another version

for (['nothing', undef],
     ['an empty message', ''],
     ['a byte', 'x'],
     ['a text', "GET / HTTP/1.0\r\n\r\n"],
     ['a message that is too short', substr msg(type => WORKER), 0, SIZE - 1],
     ['a message that is too long', msg(type => WORKER) . 'x'],
     ['a message that is much too long', msg(type => WORKER) x 100],
     ['version 0', msg(type => WORKER, version => 0)],
     ['version 1', msg(type => WORKER, version => 1)],
     ['noise', "\xff" x SIZE],
     ['zeros', "\0" x SIZE],
     ['a question that comes first', msg(type => SYNC, db => $id)])
{
    my ($name, $bytes) = @$_;

    my $s = peer();

    $s->send($bytes, MSG_NOSIGNAL) if defined $bytes;
    is(defined $bytes ? ended($s) : 1, 1, "$name: ended");
}

for (['too short', 'x' x 100], ['too long', 'x' x 2000],
     ['another version', msg(type => SYNC, version => 3, db => $id)])
{
    my $s = peer(WORKER);

    $s->send($_->[1], MSG_NOSIGNAL);
    is(ended($s), 1, "$_->[0], later: ended");
}

ok($t->waitforlog(qr/\[error\].*protocol version 3, not 2/), 'it is said');

# not that kind of a socket

ok(!IO::Socket::UNIX->new(Peer => $path, Type => SOCK_STREAM), 'a stream');

# who asks and goes away, who asks and never listens

for (1 .. 20) {
    my $s = peer(COMMAND);

    send_to($s, type => $_ % 4 ? SYNC : VERIFY, db => $id, timeout => 5000)
        for 1 .. 3;
}

my $deaf = peer(COMMAND);

$deaf->blocking(0);

my $sent = 0;

for (1 .. 3000) {
    send_to($deaf, type => SYNC, db => $_ % 2 ? $id : 1, timeout => 1000)
        or last;
    $sent++;
}

cmp_ok($sent, '>', 50, 'many questions');

my @idle = map { peer($_ % 2 ? WORKER : 0) } 1 .. 100;

is(scalar(grep { defined } @idle), 100, 'a hundred of them');
is(response(http_post('/litestream/sync/app'))->{status}, 200,
    'others are answered');

close $_ for @idle, $deaf;

# a worker must not be able to end the replication

if ($> == 0) {
    my $bytes = unpack 'H*', msg(type => HANDOVER);

    my ($rc, $out) = $t->as_user(($t->worker_user)[0], $^X,
        '-MIO::Socket::UNIX', '-MSocket', '-e',
        'my $s = IO::Socket::UNIX->new(Peer => $ARGV[0],'
        . 'Type => SOCK_SEQPACKET) or die; $s->send(pack "H*", $ARGV[1]);'
        . '$s->recv(my $x, 1000); print "ended"', $path, $bytes);

    is($out, 'ended', 'a hand-over that a worker asks for');
    is(join("\n", $t->read_log(qr/hands over/)), '', 'it does not take place');
}

# it is as it was

is($t->supervisor_pid, $super, 'the same supervisor');
is($t->status->{supervisor}{pid}, $super, 'it writes the status');
is(response(http_post('/litestream/sync/app'))->{status}, 200, 'sync');
is($t->api('verify/app', method => 'POST', body => '')->{verified}, 1,
    'verify');
ok($t->quit(), 'quit: it knows who is a worker');


# FNV-1a

sub id {
    use integer;

    my $h = 0xcbf29ce4 << 32 | 0x84222325;

    $h = ($h ^ ord) * (1 << 40 | 0x1b3) for split //, $_[0];

    return unpack 'Q', pack 'q', $h;
}


sub msg {
    my (%m) = @_;

    return pack 'L L Q Q L L q Q l L Q L6 q Z576 a512', $m{version} // 2,
        $m{type}, $m{ticket} // 0, $m{db} // 0, $m{mode} // 0,
        $m{timeout} // 1000, (0) x 12, '', $m{error} // '';
}


sub peer {
    my ($role) = @_;

    my $s = IO::Socket::UNIX->new(Peer => $path, Type => SOCK_SEQPACKET)
        or die "connect($path) failed: $!\n";

    send_to($s, type => $role) if $role;
    return $s;
}


sub send_to {
    my ($s, %m) = @_;
    return $s->send(msg(%m), MSG_NOSIGNAL);
}


sub answer {
    my ($s) = @_;

    my $bytes = '';
    my $r = '';

    vec($r, fileno($s), 1) = 1;
    $s->recv($bytes, 2000) if select($r, undef, undef, $t->ceiling(20)) > 0;

    my %m;

    return { map { $_ => '' } qw/ type ticket status error txid / }
        unless length $bytes == SIZE;

    (@m{qw/ version type ticket db mode timeout time wanted status pad txid /},
        my @rest) = unpack 'L L Q Q L L q Q l L Q L6 q Z576 Z512', $bytes;
    $m{error} = $rest[-1];

    return \%m;
}


sub ended {
    my ($s) = @_;

    my $r = '';

    vec($r, fileno($s), 1) = 1;
    return 'open' unless select($r, undef, undef, $t->ceiling(10)) > 0;

    # whoever has sent a whole message may be told why

    $s->recv(my $bytes, 2000);
    return 1 unless length($bytes // '');

    my ($status, $error)
        = (unpack 'L L Q Q L L q Q l L Q L6 q Z576 Z512', $bytes)[8, -1];
    return "answered $status" unless $status >= 400 && length $error;

    return 'open' unless select($r, undef, undef, $t->ceiling(10)) > 0;

    $s->recv($bytes, 2000);
    return length($bytes // '') ? 'answered again' : 1;
}
