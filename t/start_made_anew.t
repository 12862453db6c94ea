#!/usr/bin/perl

# The database was deleted while nginx did not run, and the application has
# made a new one, beside the old one's Litestream directory: its position is
# that of the replica, its content is not.  It is not replicated.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(16);

my $dir = $t->testdir;

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

        location /litestream/ {
            litestream_api;
        }
    }
}

EOC

my $url = "file://$dir/replica/app";
my $db = $t->db('app', rows => 50);

$t->db_dir('replica');

# all of it by nginx, so that nothing is unusual about it

$t->run();
is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
$db->insert(1);
ok($t->waituntil(sub { $db->restore_count($url) == 51 }), 'a backup');
ok($t->stop(), 'stop');

my $txid = $db->txid($url);
my $replica = $t->tree("$dir/replica");

$db->remove(keep_meta => 1);
Test::Litestream::DB->make($db->path, rows => 1);

for my $name ('first', 'again') {
    my ($rc, $err) = $t->try_run();

    is($rc, 0, "$name: nginx starts") or diag($err);
    is($t->waitforstate('app', 'error'), 'error', "$name: state");
    like($t->database('app')->{error},
        qr/not replicated.*\Q$url\E.*made anew.*$txid.*$txid/, "$name: why");
    is(response(http_get('/litestream/ready'))->{status}, 200, "$name: ready");

    $db->insert(1);

    ok($t->stop(), "$name: stop");
    is_deeply($t->tree("$dir/replica"), $replica,
        "$name: the replica is untouched");
}

# the remedy of the message

unlink $db->files;

$t->run();

is($db->count, 51, 'without it the backup is here');
