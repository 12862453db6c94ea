#!/usr/bin/perl

# POST verify while Litestream cannot be kept running says so, with what
# Litestream said, instead of waiting; it is true again once Litestream runs.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(11);

$t->fake('stderr Error: the bucket has gone', 'exit 3');

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

# the delays are 1 s, 2 s, 4 s

ok($t->waituntil(sub {
    ($t->status->{litestream}[0]{restarts} // 0) >= 2;
}), 'Litestream has ended twice');

my $st = $t->status;

is($st->{litestream}[0]{state}, 'backoff', 'it will be started later');
is($st->{litestream}[0]{pid}, undef, 'it does not run');
is($st->{litestream}[0]{last_exit},
    'exited with code 3: Error: the bucket has gone', 'how it has ended');
is($st->{ready}, 1, 'the database is there for its application');

my $begin = $t->now;
my $r = response(http_post('/litestream/verify/app'));

is($r->{status}, 503, 'verify');
is(json($r->{body})->{verified}, 0, 'not verified');
like(json($r->{body})->{error}, qr/not replicated now: .*the bucket has gone/,
    'why');
cmp_ok($t->now - $begin, '<', 10, 'at once');

like($t->api('ready?replicating=1')->{databases}{app},
    qr/the bucket has gone/, 'ready says why');

$t->fake_mode();

ok($t->waituntil(sub {
    $t->api('verify/app', method => 'POST', body => '')->{verified};
}, 20), 'verified once it runs');
