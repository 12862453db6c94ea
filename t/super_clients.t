#!/usr/bin/perl

# Whoever runs as the user of the workers can do the supervisor no harm: with
# more connections than it takes, with questions without end, with garbage, or
# by claiming to be a worker when nginx ends.

use warnings;
use strict;

use Socket;
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Command qw/ become /;
use Test::Litestream::Proc qw/ alive /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(9);

my $dir = $t->testdir;
my $db = $t->db('app', rows => 3);
my $path = $t->state_path . '/supervisor.sock';

# version, type, ticket, database, mode, timeout, and room for the answer

my $worker = pack 'L2 Q2 L2 x552', 1, 1, 0, 0, 0, 0;
my $sync = pack 'L2 Q2 L2 x552', 1, 4, 0, fnv($db->path), 0, 3600000;

$t->db_dir('replica');

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_shutdown_timeout 10s;
    litestream_replica file://%%TESTDIR%%/replica;
    litestream_db app %%TESTDIR%%/app/db.sqlite3;

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicated');

my $pid = $t->supervisor_pid;

# too many

my $many = client('many', sub { map { connected($worker) } 1 .. 1200 });

is(synced(), 200, 'sync with many clients');
$t->stop_daemon($many);
is(synced(), 200, 'sync after them');

# questions that nobody waits for; Litestream answers none of them

my ($litestream) = $t->litestream_pids;

$t->signal('STOP', $litestream);

my $flood = client('flood', sub {
    map {
        my $s = connected($worker);
        for (1 .. 3000) {
            send($s, $sync, MSG_NOSIGNAL) or last;
        }
        $s;
    } 1 .. 40;
});

$t->signal('CONT', $litestream);

is(synced(), 200, 'sync with a flood of questions');
$t->stop_daemon($flood);

# garbage

my $garbage = client('garbage', sub {
    map { connected($_) } '', 'x', 'x' x 584, 'x' x 4096,
        pack('L2 Q2 L2 x552', 2, 1, 0, 0, 0, 0),
        pack('L2 Q2 L2 x552', 1, 3, 2 ** 63, 0, 0, 0);
});

is(synced(), 200, 'sync with garbage');
is($t->supervisor_pid, $pid, 'the same supervisor');
$t->stop_daemon($garbage);

# a worker that is none

my $false = client('false', sub { connected($worker) });

$db->insert;

ok($t->quit(ceiling => 20), 'quit');
ok(alive($false), 'not held up');
is($db->restore_count("file://$dir/replica/app"), 4, 'after a last sync');

$t->stop_daemon($false);


sub synced {
    return response(http_post('/litestream/sync/app?timeout=10s', ''))
        ->{status};
}


# a daemon that runs as the workers do; what the sub returns stays open

sub client {
    my ($name, $sub) = @_;

    my $pid = $t->run_daemon(sub {
        become(($t->worker_user)[0]);
        $^F = 5000;
        my @keep = $sub->();
        syswrite STDERR, "client $name is ready\n";
        sleep 1000;
    });

    $t->waituntil(sub { $t->read_file('stderr.log') =~ /client $name is/ }, 30);
    return $pid;
}


sub connected {
    my ($msg) = @_;

    socket(my $s, AF_UNIX, SOCK_SEQPACKET, 0) or return;

    for (1 .. 100) {
        if (connect($s, pack_sockaddr_un($path))) {
            send($s, $msg, MSG_DONTWAIT | MSG_NOSIGNAL) if $msg ne '';
            return $s;
        }

        select undef, undef, undef, 0.01;
    }

    return;
}


# the database's id

sub fnv {
    my ($text) = @_;

    use integer;
    no warnings 'portable';

    my $h = 0xcbf29ce484222325;

    for (unpack 'C*', $text) {
        $h ^= $_;
        $h *= 0x100000001b3;
    }

    return unpack 'Q', pack 'q', $h;
}
