#!/usr/bin/perl

# A Litestream that never makes its control socket is killed after half a
# minute and started anew.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ alive /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(9);

$t->fake('times 1', 'hang');

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

$t->db('app', rows => 3);
$t->db_dir('replica');

$t->run();

ok($t->waituntil(sub {
    ($t->status()->{litestream}[0]{state} // '') eq 'starting'
}), 'starting');

my ($pid) = $t->litestream_pids;

is($t->database('app')->{state}, 'starting', 'the database, too');
like(http_get('/litestream/ready'), qr/ 200 /, 'which is served');
like(http_post('/litestream/sync/app?timeout=1s'), qr/ 50[34] /, 'no sync');

ok($t->waituntil(sub { !alive($pid) }, 60), 'it is killed');
ok($t->waitforlog(
    qr/process $pid of group \S+ did not answer after its start, killed/),
    'the log says so');
is($t->waitforstate('app', 'replicating'), 'replicating',
    'then it replicates');
is($t->status()->{litestream}[0]{last_exit},
    'exited on signal 9: did not answer after its start',
    'the reason is told');
ok($t->quit(), 'quit');
