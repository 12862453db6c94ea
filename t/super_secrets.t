#!/usr/bin/perl

# What Litestream and jobs say goes into the log and into the status without
# the secrets in it: passwords of URLs, and what is named like a secret.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(14);

my $dir = $t->testdir;
my $lost = 'hunter2';

$t->fake();

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_log               %%TESTDIR%%/litestream.log;
    litestream_shutdown_timeout  1s;

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

$t->db('app', rows => 3);
$t->db_dir('replica');

# a job

$t->run();
$t->waitforstate('app', 'replicating');
$t->fake_mode("restore: stderr Error: GET http://me:$lost\@host/x failed",
    'restore: exit 1');

is(response(http_post('/litestream/verify/app'))->{status}, 503,
    'job: an error');
like($t->database('app')->{verify}{error},
    qr!GET http://me:\*+\@host/x failed!, 'job: its reason');
ok(!leaked(), 'job: without the password');

# Litestream: lines, the reason of its end

$t->fake_mode('stdout before',
    "stdout {\"level\":\"INFO\",\"msg\":\"secret-access-key: $lost\"}",
    "stderr password=$lost",
    "stderr Authorization: Basic $lost",
    qq(stdout {"level":"ERROR","msg":"no","error":"token=$lost gone"}),
    "stdout a\tb\e[31m",
    "stderr Error: sftp://me:$lost\@host: no",
    'exit 1');
kill 'KILL', $t->litestream_pids;

ok($t->waituntil(sub {
    ($t->status()->{litestream}[0]{last_exit} // '') =~ /code 1/
}, 20), 'Litestream: an end');
is($t->status()->{litestream}[0]{last_exit},
    'exited with code 1: Error: sftp://me:***@host: no',
    'Litestream: its reason');
like($t->read_file('litestream.log'), qr/: before$/m, 'Litestream: its log');
like($t->read_file('litestream.log'), qr/: password=\*+$/m,
    'Litestream: what was a secret');
like($t->read_file('litestream.log'), qr/token=\*+ gone/,
    'Litestream: and what not');
like($t->read_file('litestream.log'), qr/: a\?b\?\[31m$/m,
    'Litestream: no control characters');
ok(!leaked(), 'Litestream: without the secrets');

# an answer of the control socket

$t->fake_mode(
    "answer POST /sync 500 {\"error\":\"password=$lost no\"}", 'serve');

ok($t->waituntil(sub {
    ($t->database('app')->{error} // '') =~ /password/
}, 20), 'answer: an error');
like($t->database('app')->{error}, qr/password=\*+ no/, 'answer: its text');
ok(!leaked(), 'answer: without the secret');

ok($t->quit(), 'quit');


sub leaked {
    my $text = join "\n", map { $t->read_file($_) // '' }
        'litestream.log', 'stderr.log', 's/status', 's/replicas';

    $text .= join "\n", $t->read_log(qr/./),
        http_get('/litestream/status'), http_get('/litestream/ready');

    return $text =~ /\Q$lost\E/ ? 1 : 0;
}
