#!/usr/bin/perl

# A database is deleted while it is replicated: the status says so, it is not
# ready any more, its backup stays as it was and is what the next start
# restores; other databases go on.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(19);

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
    litestream_db       two %%TESTDIR%%/two/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

my $db = $t->db('app', rows => 3);
my $two = $t->db('two', rows => 4);
$t->db_dir('replica');

$t->run();

is($t->waitforstate($_, 'replicating'), 'replicating', "$_: replicating")
    for qw/ app two /;

$db->insert(2);
like(http_post('/litestream/sync/app'), qr/"synced":true/, 'sync');

my $super = $t->supervisor_pid;

unlink $db->files;

is($t->waitforstate('app', 'error'), 'error', 'it is noticed');
like($t->database('app')->{error},
    qr/^"\Q${\ $db->path }\E" (was deleted while it was replicated|is missing)/,
    'what has happened');
like(join("\n", $t->read_log(qr/\[error\]/)),
    qr/database "app": "\S+" was deleted while it was replicated/,
    'the log tells');

my $r = response(http_get('/litestream/ready'));

is($r->{status}, 503, 'not ready');
like($r->{body}, qr/"two":"ok"/, 'the other one is');

# and with the other database

ok($t->waituntil(sub {
    my ($group) = @{ $t->status()->{litestream} };
    return $group->{state} eq 'up'
           && $t->database('two')->{state} eq 'replicating';
}, 20), 'Litestream runs without it');

$two->insert(1);
like(http_post('/litestream/sync/two'), qr/"synced":true/, 'two: sync');
is($two->restore_count("file://$dir/replica/two"), 5, 'two: replicated');

like(http_post('/litestream/sync/app?timeout=1s'), qr/ 503 /,
    'nothing to be synced');
is($db->restore_count($url), 5, 'the backup is as it was');
is($t->supervisor_pid, $super, 'the same supervisor');
ok(!-e $db->path, 'nothing was made');

# the next start

ok($t->quit(), 'quit');
$t->run();

is($db->count, 5, 'restored');
is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating again');
ok($t->quit(), 'quit again');
