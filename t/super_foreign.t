#!/usr/bin/perl

# Another process takes over the path of Litestream's control socket: what it
# answers is not believed, the log names it, and Litestream is started anew.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Command qw/ become /;
use Test::Litestream::Proc qw/ config_of /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(13);

my $dir = $t->testdir;
my $url = "file://$dir/replica/app";

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
            litestream_api;
        }
    }
}

EOF

my $db = $t->db('app', rows => 3);
$t->db_dir('replica');

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

my ($pid) = $t->litestream_pids;
my $super = $t->supervisor_pid;
my $path = config_of($pid)->{socket};

# frozen, so that only the impostor could say that all is well

$t->signal('STOP', $pid);
$db->insert(5, 'pending');

my $impostor = $t->run_daemon(\&impostor, $path);

ok($t->waitforfile('replica/bound'), 'another process has the path');

my $s = http_post('/litestream/sync/app', undef, start => 1);

my $re = qr/\[error\].*is answered by process $impostor, not by $pid/;

ok($t->waitforlog($re, 15), 'the log tells');
is($db->restore_count($url, where => "v = 'pending'"), 0, 'pending');

my $answer = http_end($s, ceiling => 40);

like($answer, qr/ 200 .*"synced":true/s, 'a sync is answered in the end');
unlike($answer, qr/"txid":"0*4d2"/, 'not by the impostor');
is($db->restore_count($url, where => "v = 'pending'"), 5, 'it is true');

isnt(join(' ', $t->litestream_pids), $pid, 'Litestream was started anew');
is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating again');
like($t->status()->{litestream}[0]{last_exit}, qr/does not answer any more/,
    'the reason is told');
is($t->supervisor_pid, $super, 'the same supervisor');

my @lines = $t->read_log(qr/is answered by process/);

cmp_ok(scalar @lines, '<=', 20, 'the log is not flooded');
ok($t->quit(), 'quit');


# says yes to everything

sub impostor {
    my ($path) = @_;

    become(($t->user)[0]);
    unlink $path;

    my $listen = IO::Socket::UNIX->new(Local => $path, Listen => 128)
        or die "socket: $!\n";

    open my $f, '>', "$dir/replica/bound";

    while (my $s = $listen->accept) {
        sysread $s, my $request, 65536;

        my $body = '{"status":"synced","path":"' . $db->path
                   . '","txid":1234,"replicated_txid":1234}';

        print $s "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            . 'Content-Length: ' . length($body) . "\r\n\r\n$body";
        close $s;
    }
}
