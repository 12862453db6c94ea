#!/usr/bin/perl

# S3 that does not answer.  A database that is there is served meanwhile, and
# replicated as soon as the storage is back; one that is missing keeps nginx
# from starting, within its timeout; one that is replicated lags and catches up.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::CLI;
use Test::Litestream::S3;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(32);

my $s3 = Test::Litestream::S3->new($t);
my $endpoint = $s3->endpoint;

$t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_restore  blocking timeout=10s;
    litestream_replica  s3://backups region=us-east-1 ${\ $s3->params };
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api write=on;
        }
    }
}

EOF

my $db = $t->db('app', rows => 3);

# away at start, the database is there

my $from = $t->now;

$t->run();

cmp_ok($t->now - $from, '<', $t->ceiling(8), 'away: nginx starts at once');
is($t->api('ready')->{ready} ? 1 : 0, 1, 'away: ready');
like($t->database('app')->{state}, qr/^(checking|error)$/, 'away: state');

ok($t->waituntil(sub { $t->database('app')->{error} }, 10),
    'away: within seconds');
like($t->database('app')->{error},
    qr/"\Q$endpoint\E" cannot be reached: Connection refused/,
    'away: the reason');

is($t->waitforstate('app', 'error', 25), 'error', 'away: an error in time');
like($t->database('app')->{error}, qr!s3://backups/app.*no\ answer\ within.*
    "\Q$endpoint\E"\ cannot\ be\ reached!x, 'away: its reason');

# it comes

$s3->start();

is($t->waitforstate('app', 'replicating', 60), 'replicating', 'back');
is($t->database('app')->{error}, undef, 'back: no error');

$db->insert(1);
is($t->api('sync/app', method => 'POST')->{synced} ? 1 : 0, 1,
    'back: synced');

# it goes

$s3->stop();
$db->insert(1);

my $died = $t->now;
my $r = http_post('/litestream/sync/app?timeout=2s', '');

like($r, qr/ 504 .*"synced":false/s, 'gone: not synced');
cmp_ok($t->now - $died, '<', $t->ceiling(6), 'gone: within its timeout');

is($t->waitforstate('app', 'lagging', 14), 'lagging', 'gone: lagging');
ok($t->waituntil(sub { ($t->database('app')->{error} // '') =~ qr/^Litestream
    \ has\ not\ synced\ it\ within.*"\Q$endpoint\E"\ cannot\ be\ reached:/x }, 20),
    'gone: the reason');
is($t->api('ready')->{ready} ? 1 : 0, 1, 'gone: ready all the same');

$s3->start();

is($t->waitforstate('app', 'replicating', 60), 'replicating', 'returned');
is($t->database('app')->{error}, undef, 'returned: no error');
is($t->api('sync/app?timeout=30s', method => 'POST')->{synced} ? 1 : 0, 1,
    'returned: synced');
is($db->restore_count($s3->url('backups/app'), env => $s3->env), 5,
    'returned: all is there');

is($t->stop(), 1, 'stop');

# away at start, the database is missing

$s3->stop();
$db->remove();

$from = $t->now;

my ($rc, $err) = $t->try_run(ceiling => 40);

isnt($rc, 0, 'missing: nginx does not start');
cmp_ok($t->now - $from, '<', $t->ceiling(20), 'missing: within the timeout');
like($err, qr/\[emerg\].*"app".*"\Q$endpoint\E" cannot be reached: Connection/,
    'missing: the reason');
unlike($err, qr/\Q${\ $s3->secret }\E/, 'missing: no secret');

my @lines = $err =~ /^(nginx: litestream: restoring .*)$/mg;

cmp_ok(scalar(@lines), '<=', 4, 'missing: a few lines of it');
like($lines[-1], qr/"app": waiting for "s3:\S+, \d+ of 10 s: "\Q$endpoint\E"/,
    'missing: for how long it waits');
like($lines[-1], qr/" cannot be reached: Connection refused$/,
    'missing: why it waits');
like((cli($t, 'status'))[1],
    qr/^app +error .*\n    error: nginx did not start: .*refused$/m,
    'missing: the status');
is(-e $db->path ? 1 : 0, 0, 'missing: nothing was made');

$t->stop() unless $rc;

# it hangs

$s3->start();
$s3->signal('STOP');

($rc, $err) = $t->try_run(ceiling => 40);

isnt($rc, 0, 'hangs: nginx does not start');
like($err, qr/\[emerg\].*takes connections, but has not answered/,
    'hangs: the reason');

$s3->signal('CONT');
$t->stop() unless $rc;

$t->run();
is($db->count, 5, 'restored');
