#!/usr/bin/perl

# POST restore: a new file beside the database, with the state at a moment or
# of a transaction, each row that was there then and none that came later.  The
# database itself is not touched, and nothing that is there is replaced.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

use POSIX qw/ strftime /;
use Time::HiRes qw//;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(65);

my $dir = $t->testdir;
my (undef, undef, $uid, $gid) = $t->user;

# no file is made of others meanwhile

$t->write_file('base.yml', "levels:\n  - interval: 24h\n");

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_base_config  %%TESTDIR%%/base.yml;

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3 checkpoint_interval=1h;
    litestream_db       off %%TESTDIR%%/off/db.sqlite3 replicate=off;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOF

my $db = $t->db('app', rows => 3, size => 200000, mode => 0640);
my $off = $t->db('off', rows => 5);

$t->db_dir('replica');

$off->replicate("file://$dir/replica/off");
$off->remove();

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
ok($t->waituntil(sub { glob "$dir/replica/app/ltx/9/*.ltx" }), 'a snapshot');
is($t->database('app')->{restored}, undef, 'nothing was restored yet');

# rows at known moments

my @moments;

for my $n (1 .. 4) {
    $db->sql("INSERT INTO t (v) VALUES ('moment $n');"
        . ($n == 3 ? "DELETE FROM t WHERE v = 'moment 1';" : ''));

    my $r = $t->api('sync/app', method => 'POST', body => '');

    select undef, undef, undef, 0.02;
    push @moments, { txid => $r->{txid}, at => now(), rows => rows($db) };
    select undef, undef, undef, 0.02;
}

is($moments[3]{rows}, 'moment 2 moment 3 moment 4', 'rows now');

my $before = contents($db->path);

for my $m (@moments) {
    for my $by (qw/ at txid /) {
        my $r = restore('app', $by eq 'at'
            ? qq({"timestamp":"$m->{at}"}) : qq({ "txid" : "$m->{txid}" }));
        my $name = "$by $m->{$by}";

        is("$r->{status} $r->{restored}", '200 1', $name)
            or diag($r->{error});
        is($r->{txid}, $m->{txid}, "$name: the transaction");
        like($r->{file}, qr/^\Q${\ $db->path }\E\.restored-\d{8}T\d{6}-\Q$r->{txid}\E$/,
            "$name: the file");
        is(rows($r->{file}), $m->{rows}, "$name: rows");
    }
}

# its owner, mode and size, also in the status

my $r = restore('app', '');
my @st = stat $r->{file};

is("$r->{status} $r->{txid}", "200 $moments[3]{txid}", 'the newest');
is(sprintf('%o %d %d', $st[2] & 07777, @st[4, 5]), "640 $uid "
    . (stat $db->path)[5], 'mode, owner, group');
is($r->{bytes}, $st[7], 'bytes');
is($r->{timestamp}, undef, 'no time was asked for');
is($r->{error}, undef, 'no error');
cmp_ok($r->{duration_ms}, '>', 0, 'it took some time');

my $st = $t->database('app')->{restored};

like(delete $st->{at}, qr/^20\d\d-.*Z$/, 'status: when');
is_deeply($st, { state => 'done', file => $r->{file}, txid => $r->{txid},
        timestamp => undef, bytes => $st[7], total_bytes => $st[7],
        duration_ms => $r->{duration_ms}, error => undef }, 'status');
is($t->database('app')->{restore}{state}, 'none',
    'status: the database itself was not restored');

# names are new ones, whatever is there

my %files = map { $_ => 1 } map { restore('app', '{}')->{file} } 1 .. 3;

is(scalar keys %files, 3, 'three more: three names');
is(scalar(my @files = glob $db->path . '.restored-*'), 12, 'all are there');
is(join(' ', grep { !/^db\.sqlite3\.restored-/ } $db->beside), '',
    'and nothing else');
is(Test::Litestream::DB->new($files[0])->integrity, 'ok', 'integrity');

# the database

is(contents($db->path), $before, 'the database was not touched');
$db->insert(1, 'afterwards');
is($t->api('sync/app', method => 'POST', body => '')->{synced}, 1,
    'it is replicated');

# the end of what can be restored

$r = restore('app', '{"timestamp":"2036-01-01T00:00:00Z"}');
is("$r->{status} $r->{restored}", '404 0', 'a time that is still to come');
like($r->{error}, qr/state at 2036-\S+ is not in replica .*: it ends at 20\d\d-/,
    'a time that is still to come: why');

$r = restore('app', '{"timestamp":"2016-01-01T01:00:00.5+01:00"}');
is("$r->{status} $r->{restored}", '404 0', 'a time before the first backup');
like($r->{error}, qr/state at 2016-01-01T00:00:00\.500Z is .*: it begins at 20/,
    'a time before the first backup: why');

$r = restore('app', '{"txid":"7fffffffffffffff"}');
is("$r->{status} $r->{restored}", '404 0', 'a transaction to come');
like($r->{error}, qr/transaction 7f+ is not .*: its newest is 0000000000/,
    'a transaction to come: why');

# a gap is no end

is(unlink(glob "$dir/replica/app/ltx/0/$moments[2]{txid}-*.ltx"), 1,
    'a file is lost');

for (qq({"timestamp":"$moments[3]{at}"}), '{}') {
    $r = restore('app', $_);
    is("$r->{status} $r->{restored}", '503 0', "a gap: $_");
    like($r->{error}, qr/damaged: transaction \S+ follows $moments[1]{txid}, /,
        "a gap: $_: why");
}

$r = restore('app', qq({"timestamp":"$moments[1]{at}"}));
is("$r->{status} $r->{txid}", "200 $moments[1]{txid}", 'what is before it');

# replicate=off: there is a replica all the same

$r = restore('off', '{}');
is("$r->{status} $r->{restored}", '200 1', 'replicate=off')
    or diag($r->{error});
is(Test::Litestream::DB->new($r->{file})->count, 5, 'replicate=off: rows');


sub restore {
    my ($alias, $body) = @_;
    my $r = response(http_post("/litestream/restore/$alias?timeout=1m", $body));
    return { %{ json($r->{body}) }, status => $r->{status} };
}


sub rows {
    my ($db) = @_;
    $db = Test::Litestream::DB->new($db) unless ref $db;
    return join ' ', split /\n/,
        $db->sql("SELECT v FROM t WHERE v LIKE 'moment %' ORDER BY id;");
}


sub now {
    my $now = Time::HiRes::time();
    return strftime('%Y-%m-%dT%H:%M:%S', gmtime $now)
        . sprintf '.%03dZ', 1000 * ($now - int $now);
}


sub contents {
    my ($path) = @_;
    return join ' ', (stat $path)[1, 2, 4, 5, 7, 9];
}
