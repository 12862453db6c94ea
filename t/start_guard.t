#!/usr/bin/perl

# An application begins its WAL anew after Litestream was started and before
# it has opened the database: the guard keeps it from that, and goes away when
# Litestream has a lock of its own.  After a kill and at a hand-over.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(40);

my $dir = $t->testdir;

$t->fake('await go');

my $db = $t->db('app', rows => 3000);
my $url = 'file://' . $t->db_dir('replica') . '/app';

# the last who closes a database would remove its WAL

$db->hold('SELECT count(*) FROM t;');

for my $n (1 .. 4) {
    my $how = $n % 2 ? 'kill' : 'reload';

    conf(10 * $n);
    go(1);

    $db->sql('PRAGMA wal_checkpoint(TRUNCATE);');
    $t->run();

    is($t->waitforstate('app', 'replicating'), 'replicating',
        "$n: replicating");

    # the place that is reached must not be overwritten by what follows

    $db->grow(2_000_000);
    is(sync('app'), 200, "$n: synced");

    go(0);

    my $starts = starts();
    my ($old) = $t->litestream_pids;

    if ($how eq 'kill') {
        $t->signal('KILL', $old);

    } else {
        conf(10 * $n + 1);
        $t->signal('HUP');
    }

    ok($t->waituntil(sub { starts() > $starts }, 20), "$n: $how, a start");
    is($db->locked($t->job_pids), 1, "$n: guarded");

    # SQLite makes a checkpoint beyond 1000 pages, of what was not read as well

    $db->sql("UPDATE t SET v = 'round $n' WHERE id <= 100;");
    $db->grow(800_000) for 1 .. 3;
    $db->insert();

    go(1);

    is($t->waitforstate('app', 'replicating'), 'replicating',
        "$n: replicating again");
    ok($t->waituntil(sub { !$t->job_pids }),
        "$n: the guard has gone");
    ok($t->waituntil(sub { $db->locked($t->litestream_pids) }),
        "$n: Litestream has its own lock");

    ok($t->quit(), "$n: quit");

    my $copy = $db->restore($url);

    is($copy->integrity, 'ok', "$n: a restore");
    is($copy->count("v = 'round $n'"), 100, "$n: nothing was lost");
}


sub conf {
    my ($interval) = @_;

    $t->write_file_expand('nginx.conf', <<"EOC");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3 sync_interval=${interval}s;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOC
}


# may Litestream go on with its start?

sub go {
    my ($yes) = @_;

    return $t->write_file('fake/go', '') if $yes;
    unlink "$dir/fake/go";
}


sub starts { return scalar grep { $_->[2] =~ /^replicate/ } $t->fake_calls }


sub sync {
    my ($alias) = @_;
    return response(http_post("/litestream/sync/$alias?timeout=20s"))->{status};
}
