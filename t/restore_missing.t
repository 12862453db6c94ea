#!/usr/bin/perl

# A machine was lost: the database and Litestream's directory beside it are
# gone, and everything is back before the first request is answered.  Requests
# that come while the restore runs wait, and all of them are answered.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http proxy/)
    ->has_daemon(qw/litestream sqlite3/)->plan(19);

my $dir = $t->testdir;

# the restore waits until it is told to go on: the real one is too fast

$t->fake('restore: await go');

$t->write_file_expand('nginx.conf', <<'EOC');

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

        location / {
            proxy_pass  http://unix:%%TESTDIR%%/app.sock;
        }

        location /litestream/ {
            litestream_api;
        }
    }
}

EOC

my $db = $t->db('app', rows => 1000);
my $replica = $t->db_dir('replica');

$db->replicate("file://$replica/app");

my $txid = $db->txid("file://$replica/app");

$db->remove();

# tells each client the number of rows that it sees

$t->run_daemon(\&app);
ok($t->waitforsocket("$dir/app.sock"), 'the application');

$t->try_run(nowait => 1);

ok($t->waituntil(sub { grep { $_->[2] =~ /^restore/ } $t->fake_calls }, 20),
    'the restore begins');

my $begin = $t->now;

my @clients = map { http_get("/$_", start => 1) } 1 .. 100;

is(scalar(grep { $_ } @clients), 100, 'requests are taken');

my $r = '';
vec($r, fileno($_), 1) = 1 for @clients;

select undef, undef, undef, 0.2;

ok(!select($r, undef, undef, 0), 'none of them is answered yet');
ok(!-e $db->path, 'nothing is there yet');

my $held = int(1000 * ($t->now - $begin));

$t->write_file('fake/go', '');

my @answers = map { response(http_end($_)) } @clients;

is(scalar(grep { $_->{status} == 200 } @answers), 100, 'all are answered');
is(scalar(grep { $_->{body} eq '1000' } @answers), 100, 'all see all rows');

ok($t->waituntil(sub { defined $t->started }), 'nginx runs');
is($db->integrity, 'ok', 'integrity');

is(join(' ', $db->beside), '', 'nothing is left beside it');
is(response(http_get('/litestream/ready'))->{status}, 200, 'ready');
is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

my $st = $t->database('app');

is($st->{restore}{state}, 'done', 'restored');
is($st->{restore}{txid}, $txid, 'transaction');
cmp_ok($st->{restore}{duration_ms}, '>=', $held, 'duration');
is($st->{restore}{bytes}, $st->{restore}{total_bytes}, 'bytes');
is($st->{restore}{error}, undef, 'no error');

is(scalar(my @lines = $t->read_log(qr/"app" was restored from/)), 1,
    'the log says it once');

# the new commits continue the backup

$db->insert(1);

ok($t->waituntil(sub { $db->restore_count("file://$replica/app") == 1001 }),
    'new commits are replicated');


sub app {
    my $listen = IO::Socket::UNIX->new(Local => "$dir/app.sock",
        Listen => 200) or die "app.sock: $!\n";

    chmod 0777, "$dir/app.sock";
    local $SIG{PIPE} = 'IGNORE';

    for ( ;; ) {
        my $s = $listen->accept() or next;
        my $request = '';

        until ($request =~ /\r\n\r\n/) {
            sysread $s, $request, 4096, length $request or last;
        }

        my $n = $db->count;
        syswrite $s, "HTTP/1.0 200 OK\r\nContent-Length: " . length($n)
            . "\r\n\r\n$n";
    }
}
