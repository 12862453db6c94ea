#!/usr/bin/perl

# A last sync that does not come to its end: the log names the database, and
# nginx does not wait longer than it has to.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ alive /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(15)
    ->expect_alerts(qr/litestream supervisor process \d+ exited on signal 9/);

my $dir = $t->testdir;
my $url = "file://$dir/replica/app";

$t->db_dir('replica');
my $db = $t->db('app', rows => 3);
my $rows = 3;

my $said = qr/\[error\].*database "app" was not synced before the end/;

# litestream_shutdown_timeout is over

start('1s');

my $mark = pending();
my ($pid) = $t->litestream_pids;

ok($t->quit(ceiling => 20), 'quit ends');
like(join("\n", $t->read_log($said, $mark)), qr!"\Q$url\E"!,
    'quit: the log names the database and its replica');
ok(!alive($pid), 'quit: Litestream was killed');
like(join("\n", $t->read_log(qr/ $pid .* did not end in time, killed/)),
    qr/error/, 'quit: the log says so');

# Litestream is killed meanwhile: there is nothing to be waited for

start('60s');

$mark = pending();
($pid) = $t->litestream_pids;

$t->signal('QUIT');
$t->waituntil(sub { !$t->worker_pids(all => 1) });
$t->signal('KILL', $pid);

ok($t->quit(ceiling => 20), 'quit ends without Litestream');
is(scalar(my @lines = $t->read_log($said, $mark)), 1,
    'quit without Litestream: the log tells');

# stop does not wait at all: the line has to be there before the master kills

start('60s');

$mark = pending();
($pid) = $t->litestream_pids;

ok($t->stop(ceiling => 12), 'stop ends');
is(scalar(@lines = $t->read_log($said, $mark)), 1, 'stop: the log tells');

# it was told to end, and can now

$t->signal('CONT', $pid);
ok($t->waituntil(sub { !alive($pid) }), 'stop: Litestream ends');

# what was pending is not lost: it is in the replica after the next start

start('60s');

ok($t->waituntil(sub { $db->restore_count($url) == $rows }, 15),
    'the next start replicates it');
ok($t->quit(), 'quit');


sub start {
    my ($timeout) = @_;

    $t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_shutdown_timeout  $timeout;

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

    $t->run();
    is($t->waitforstate('app', 'replicating'), 'replicating',
        'replicating');
}


# commits that a Litestream that is frozen cannot upload

sub pending {
    $t->signal('STOP', $t->litestream_pids);
    $rows = $db->insert(2);
    return $t->log_mark;
}
