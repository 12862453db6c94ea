#!/usr/bin/perl

# Litestream runs, but does not open a database: the guard does not keep its
# WAL growing for ever.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(9);

$t->fake('answer POST /sync 500 {"error":"not now"}', 'serve');

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

my $db = $t->db('app', rows => 3);
$t->db_dir('replica');

$db->hold('SELECT count(*) FROM t;');
$db->insert();
$t->run();

ok($t->waituntil(sub { $t->status()->{litestream}[0]{state} eq 'up' }),
    'Litestream is up');
is($db->locked($t->job_pids), 1, 'guarded');
like(checkpoint(), qr/^1\|/, 'the WAL cannot be emptied');

ok($t->waituntil(sub {
    ($t->database('app')->{error} // '') =~ /has not opened/
}, 80), 'it has not been opened in time');
like($t->database('app')->{error}, qr/^not replicated: Litestream has not/,
    'it is told');

ok($t->waituntil(sub { !$t->job_pids && !$t->litestream_pids }),
    'the guard has gone, and Litestream');
like(checkpoint(), qr/^0\|/, 'the WAL is emptied');

$t->fake_mode();

is($t->waitforstate('app', 'replicating', 60), 'replicating',
    'it is tried again');
ok($t->quit(), 'quit');


sub checkpoint { return $db->sql('PRAGMA wal_checkpoint(TRUNCATE);') }
