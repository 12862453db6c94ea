#!/usr/bin/perl

# A supervisor that dies again and again right after its start is respawned by
# the master without a pause: it makes one itself, a longer one each time.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(7)
    ->expect_alerts(qr/litestream supervisor process \d+ exited on signal 9/);

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

# killed as soon as it has taken over, for some seconds: without a pause there
# would be a hundred of them

my %killed;
my $end = $t->now + 2.5;

while ($t->now < $end) {
    for ($t->read_log(qr/supervisor \d+ has taken over/)) {
        my ($pid) = /supervisor (\d+)/;
        $t->signal('KILL', $pid) unless $killed{$pid}++;
    }

    select undef, undef, undef, 0.005;
}

cmp_ok(scalar(keys %killed), '>=', 2, 'it came back');
cmp_ok(scalar(keys %killed), '<=', 5, 'not too often');

like(http_get('/nothing'), qr/ 404 /, 'the site is served');

# left in peace

$db->insert(2);

ok($t->waituntil(sub {
    my $pid = $t->status()->{supervisor}{pid};
    return $pid && !$killed{$pid};
}, 30), 'it stays');
ok($t->waituntil(sub { $db->restore_count($url) == 5 }, 15),
    'nothing was lost');
ok($t->quit(), 'quit');
