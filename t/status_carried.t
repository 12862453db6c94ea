#!/usr/bin/perl

# What the status knows of the past is carried over a respawn and over a full
# restart of nginx: restarts, how Litestream has ended, the last verification,
# the restore.  It is of this replica only.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(24)
    ->expect_alerts(qr/litestream supervisor process \d+ exited on signal 9/);

conf('one');

my $db = $t->db('app', rows => 7);

$t->db_dir($_) for qw/ one two /;

$db->replicate('file://' . $t->testdir . '/one/app');
$db->remove();

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'restored');
is($t->api('verify/app', method => 'POST', body => '')->{verified}, 1,
    'verified');

my $first = $t->database('app');

is($first->{restore}{state}, 'done', 'restore');

# Litestream is killed, then the supervisor

my ($pid) = $t->litestream_pids;

$t->signal('KILL', $pid);

ok($t->waituntil(sub {
    my $ls = $t->status->{litestream}[0];
    return $ls->{state} eq 'up' && $ls->{pid} != $pid;
}), 'Litestream is up again');

my $ls = $t->status->{litestream}[0];

is($ls->{restarts}, 1, 'restarts of Litestream');
is($ls->{last_exit}, 'exited on signal 9', 'how it has ended');

my $super = $t->supervisor_pid;

$t->signal('KILL', $super);

ok($t->waituntil(sub {
    my $st = $t->status;
    return $st->{supervisor}{pid} && $st->{supervisor}{pid} != $super
        && $st->{litestream}[0]{state} eq 'up';
}), 'a new supervisor');

is($t->status->{supervisor}{restarts}, 1, 'restarts of the supervisor');
is($t->status->{litestream}[0]{restarts}, 1, 'restarts of Litestream');
same('respawn');

# nginx is started anew, after an orderly end and after a hard one

ok($t->quit(), 'quit');
$t->run();
is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

is($t->status->{supervisor}{restarts}, 1, 'restarts of the supervisor');
is($t->status->{litestream}[0]{restarts}, 1, 'restarts of Litestream');
is($t->status->{litestream}[0]{last_exit}, 'exited with code 0',
    'how it has ended');
same('restart');

$t->signal('KILL', $t->master_pid, $t->supervisor_pid, $t->worker_pids);

ok($t->waituntil(sub { !$t->litestream_pids(any => 1) }), 'all are dead');

$t->run();
is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
is($t->status->{supervisor}{restarts}, 2, 'a hard end counts');
same('hard end');

# another replica: nothing of that is true there

$t->quit();
conf('two');
$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'another replica');
is($t->database('app')->{verify}, undef, 'not verified there');

# a new database has no past

$t->quit();
$db->remove();
$t->command('rm', '-rf', $t->testdir . '/two/app', $t->testdir . '/s/replicas');
$t->run();

is($t->waitforstate('app', 'new'), 'new', 'a new one');

my $new = $t->database('app');

is(join(' ', map { $new->{$_} // () } qw/ verify txid last_sync_at /), '',
    'nothing is known of it');


sub same {
    my ($name) = @_;

    my $now = $t->database('app');

    is_deeply([ @$now{qw/ restore verify /} ],
        [ @$first{qw/ restore verify /} ], "$name: restore and verification");
}


sub conf {
    my ($replica) = @_;

    $t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/$replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF
}
