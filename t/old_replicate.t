#!/usr/bin/perl

# Litestream 0.3.13: what is written is replicated, the status tells how far
# that has come, a sync and a verification answer when it is so, and the end of
# nginx takes the last rows with it.  What this Litestream does not have is
# said at the start.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ config_of slurp /;

my $t = Test::Litestream->new()->has(qw/http/)->old()
    ->has_daemon(qw/litestream sqlite3/)->plan(37);

my $dir = $t->testdir;

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica   file://%%TESTDIR%%/replica;
    litestream_snapshot  interval=6h retention=48h;
    litestream_db        app '%%TESTDIR%%/$HOME/db.sqlite3' sync_interval=200ms
                         busy_timeout=3s;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api write=on;
        }
    }
}

EOF

my $db = $t->db('$HOME', rows => 3);
my $url = "file://$dir/replica/app";

$t->db_dir('replica');
$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

my $st = $t->status;

is($st->{litestream}[0]{version}, '0.3.13', 'its version');
is($st->{litestream}[0]{state}, 'up', 'it is up');
is($st->{databases}[0]{txid}, undef, 'transactions have no numbers');

ok($t->read_log(qr/\[warn\].* 0\.3\.13 is an old one: transactions have no/),
    'what it does not have');
ok($t->read_log(qr/\[warn\].*knows no "busy_timeout"/), 'nor knows');

my ($pid) = $t->litestream_pids;
my $yml = slurp(config_of($pid)->{file});

like($yml, qr/^-\ path:\ "\Q$dir\E\/\\x24HOME\/db\.sqlite3"\n
    \ \ monitor-interval:\ 200ms\n
    \ \ replicas:\n\ \ -\ type:\ file\n/mx, 'its configuration');
like($yml, qr/^    $_$/m, $_)
    for 'sync-interval: 200ms', 'snapshot-interval: 21600s',
        'retention: 172800s';
unlike($yml, qr/socket|replica:|shutdown|busy/, 'and nothing else');

# what is written comes there

my $rows = $db->insert(5);

ok($t->waituntil(sub { $db->restore_count($url) == $rows }), 'replicated');

# when a sync answers, all is there

for my $n (1 .. 3) {
    $rows = $db->insert(1, "sync $n");

    my $r = response(http_post('/litestream/sync/app?timeout=20s'));
    my $json = json($r->{body});

    is("$r->{status} $json->{synced}", '200 1', "sync $n");
    is($db->restore_count($url), $rows, "sync $n: it is so");
}

# lag: a fraction of a second while nothing is written, it grows without it

ok($t->waituntil(sub {
    my $lag = $t->database('app')->{lag_seconds};
    return defined $lag && $lag < 2;
}), 'lag');

$t->signal('STOP', $pid);
$db->insert(1, 'while it is stopped');

ok($t->waituntil(sub { $t->database('app')->{lag_seconds} > 3 }),
    'lag of one that is stopped');

my $r = response(http_post('/litestream/sync/app?timeout=1s'));
is($r->{status}, 503, 'no sync meanwhile');

$t->signal('CONT', $pid);

ok($t->waituntil(sub { $t->database('app')->{lag_seconds} < 2 }),
    'lag of one that goes on');

# verification

my $v = json(response(http_post('/litestream/verify/app?timeout=60s'))->{body});

is($v->{verified}, 1, 'verified') or diag(explain($v));
is($v->{txid}, undef, 'without a number');
is($db->sql("SELECT count(*) FROM sqlite_master WHERE name LIKE
    '_litestream_ver%'"), 0, 'nothing of it stays');

$r = response(http_post('/litestream/verify/app?mode=full'));

is($r->{status}, 501, 'none with mode=full');
like($r->{body}, qr/mode=full needs Litestream 0\.5, this is 0\.3\.13/,
    'which is said');

# what a replica holds: no LTX files, but times

$r = response(http_get('/litestream/ltx/app'));

is($r->{status}, 501, 'no endpoint ltx');
is(json($r->{body})->{files}, undef, 'nothing is known of files');
like($r->{body}, qr/needs Litestream 0\.5, this is 0\.3\.13: see nginx-lit/,
    'which is said');

my $history;

ok($t->waituntil(sub {
    $history = $t->database('app')->{history};
    return $history->{from};
}, 30), 'history');
cmp_ok($history->{from}, 'le', $history->{to}, 'from and to');
cmp_ok($history->{to}, 'le', $t->database('app')->{last_sync_at},
    'not after the last sync');

# a restore to a new file needs transactions that have numbers

$r = response(http_post('/litestream/restore/app'));

is($r->{status}, 501, 'no endpoint restore');
like($r->{body}, qr/needs Litestream 0\.5, this is 0\.3\.13/, 'which is said');

# the end

$rows = $db->insert(1, 'the last one');

ok($t->quit(), 'quit');
is($db->restore_count($url), $rows, 'the last row is in the replica');
