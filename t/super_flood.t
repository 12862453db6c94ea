#!/usr/bin/perl

# Litestream floods its log: the lines that are logged are bounded, the dropped
# ones are counted, the supervisor goes on answering, and the reason of an end
# does not get lost in it.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(13);

my $dir = $t->testdir;
my $url = "file://$dir/replica/app";

$t->fake('babble 100000000000');

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

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

my $begin = $t->now;

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

my ($pid) = $t->litestream_pids;
my $n = 0;

for (1 .. 20) {
    $db->insert(1);
    $n++ if http_post('/litestream/sync/app?timeout=10s') =~ /"synced":true/;
}

is($n, 20, 'syncs are answered');
is($db->restore_count($url), 23, 'replicated');
ok($t->waituntil(sub { 2 <= grep { /dropped/ } lines() }), 'lines are dropped');
is(join(' ', ($t->litestream_pids)[0]), $pid, 'the same Litestream');

my ($kept, $dropped) = (0, 0);

for (lines()) {
    $kept++ if /: flood \d/;
    $dropped += $1 if /: (\d+) lines of litestream process \d+ were dropped/;
}

cmp_ok($kept, '>', 0, 'some lines are kept');
cmp_ok($kept, '<=', 100 * (2 + $t->now - $begin), 'not too many');
cmp_ok($dropped, '>', $kept, 'most were dropped');
is(scalar(grep { !/^\d{4}\// } lines()), 0, 'they are whole');

# an end in a flood

$t->fake_mode('flood 1000000', 'stderr Error: the reason', 'exit 7');
$t->signal('KILL', $pid);

ok($t->waituntil(sub {
    ($t->status()->{litestream}[0]{last_exit} // '') =~ /code 7/
}), 'it ends');
is($t->status()->{litestream}[0]{last_exit},
    'exited with code 7: Error: the reason', 'the reason is told');

$t->fake_mode('babble 100000000000');

is($t->waitforstate('app', 'replicating'), 'replicating',
    'replicating again');
ok($t->quit(), 'quit in a flood');


sub lines { return split /\n/, $t->read_file('litestream.log') }
