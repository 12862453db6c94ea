#!/usr/bin/perl

# replicate=off: a copy of somebody's backup.  It is restored when it is
# missing, then it is in place and left alone: whatever is done to it never
# comes near the replica, which may be that of a database beside it.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::CLI;
use Test::Litestream::Proc qw/ config_of /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(71)
    ->expect_alerts(qr/litestream supervisor process \d+ exited on signal 9/);

my $dir = $t->testdir;
my $url = "file://$dir/replica/app";

my $conf = <<'EOC';

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_log      %%TESTDIR%%/litestream.log;
    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;
    litestream_db       copy %%TESTDIR%%/copy/db.sqlite3
                        replica=file://%%TESTDIR%%/replica/app replicate=off;

    server {
        listen  127.0.0.1:8080;

        location / {
            return 200 "ready=$litestream_ready lag=$litestream_lag";
        }

        location /litestream/ {
            litestream_api;
        }
    }

    server {
        listen  127.0.0.1:8081;

        location / {
            return 200 "ready=$litestream_ready lag=$litestream_lag";
        }

        litestream_db  site %%TESTDIR%%/copy/site.sqlite3
                       replica=file://%%TESTDIR%%/replica/app replicate=off
                       mode=0600;
    }
}

EOC

$t->write_file_expand('nginx.conf', $conf);

my $db = $t->db('app', rows => 5);
my $copy = Test::Litestream::DB->new($t->db_dir('copy') . '/db.sqlite3');

$t->db_dir('replica');
$db->replicate($url);

$t->run();

# restored: that of http{} before the start

is($copy->count, 5, 'restored');

my $st = $t->database('copy');

is($st->{state}, 'new', 'state');
is($st->{error}, undef, 'no error');
is($st->{restore}{state}, 'done', 'its restore');
is($st->{restore}{txid}, $db->txid($url), 'its transaction');
is($t->waitforstate('app', 'replicating'), 'replicating', 'the other one');
is($t->waitforstate('site', 'new'), 'new', 'that of a site');
ok($t->waituntil(sub { body(8081) eq 'ready=1 lag=-' }),
    'variables of a site with a copy alone');
is((stat "$dir/copy/site.sqlite3")[2] & 07777, 0600, 'mode');
like(body(8080), qr/^ready=1 lag=\d+\.\d{3}$/, 'variables of all');

# ready, unless replication is asked for

is(code('ready'), 200, 'ready');
is(code('ready?db=app&replicating=1&max_lag=30s'), 200, 'the other one');

for my $what ('replicating=1', 'max_lag=1h', 'verified=1d') {
    my $r = response(http_get("/litestream/ready?db=copy&$what"));

    is($r->{status}, 503, "ready?$what");
    is(json($r->{body})->{databases}{copy}, 'not replicated: replicate=off',
        "ready?$what: the reason");
}

# nothing to sync, nothing to verify: said at once

for my $what (qw/ sync verify /) {
    my $r = post("$what/copy");

    is($r->{status}, 409, "POST $what");
    like(json($r->{body})->{error}, qr/"copy" is not replicated: replicate=off/,
        "POST $what: the reason");
}

my $r = post('verify');

is($r->{status}, 200, 'all are verified');
is(join(' ', map { $_->{alias} } @{ json($r->{body})->{databases} }), 'app',
    'but copies');
is($t->api('verify/copy')->{verified}, undef, 'GET verify');
is(post('sync/app')->{status}, 200, 'the other one');

# the command: the same

for my $what (qw/ sync verify /) {

    for my $all ([], ['all']) {
        my ($rc, $out, $err) = cli($t, $what, @$all);

        is("$rc$err", '0', "command: $what @$all");
        like($out, qr/^app: \w+, transaction \w+, \d+ ms\n\z/,
            "command: $what @$all: but copies");
    }

    is(join(' ', map { $_->{alias} } @{ json((cli($t, $what, '-json'))[1])
        ->{databases} }), 'app', "command: $what -json");

    my ($rc, undef, $err) = cli($t, $what, qw/ app copy /);

    is($rc, 1, "command: $what of a copy");
    like($err, qr/"copy": not \w+: not replicated: replicate=off$/,
        "command: $what of a copy: the reason");
}

# Litestream does not know of it

my ($pid, @more) = $t->litestream_pids;

is(scalar @more, 0, 'one Litestream');
is(join(' ', grep { /sqlite3$/ } @{ config_of($pid)->{paths} }), $db->path,
    'the databases in its configuration');
is(@{ $t->control('/list')->{databases} }, 1, 'and in its list');

$copy->insert(100);
$db->insert(2);
post('sync/app');

is($db->restore_count($url), 7, 'the backup is that of the other one');
ok(!-e $copy->meta, 'no files of Litestream beside it');

# a supervisor that dies changes nothing

my $super = $t->supervisor_pid;

$t->signal('KILL', $super);

ok($t->waituntil(sub {
    my $pid = $t->supervisor_pid;
    return $pid && $pid != $super && $t->status->{supervisor}{state} eq 'up'
        && $t->status->{supervisor}{pid} == $pid;
}, 20), 'another supervisor');
is($t->waitforstate('copy', 'new'), 'new', 'state');
is($t->waitforstate('app', 'replicating'), 'replicating', 'the other one');
is($copy->count, 105, 'its rows');
is(code('ready?db=copy'), 200, 'ready');

# deleted, and put there again by hand

rename $copy->path, "$dir/copy/away" or die;

is($t->waitforstate('copy', 'error'), 'error', 'deleted: state');
like($t->database('copy')->{error}, qr/was deleted: .*restart nginx/,
    'deleted: the reason');
is(code('ready?db=copy'), 503, 'deleted: not ready');
is(code('ready?db=app&db=site'), 200, 'deleted: the others are');

rename "$dir/copy/away", $copy->path or die;

is($t->waitforstate('copy', 'new'), 'new', 'there again: state');
is(code('ready'), 200, 'there again: ready');

# the end: nothing is waited for, nothing is missing

ok($t->quit(), 'quit');
unlike($t->read_file('litestream.log'),
    qr/\[(error|alert|crit)\].*"(copy|site)"(?!.*deleted)/,
    'no error about a copy');

# a newer backup

$copy->remove();
unlink "$dir/copy/site.sqlite3";
$t->run();

is($copy->count, 7, 'restored anew');
is($t->waitforstate('site', 'new'), 'new', 'that of a site, too');
ok($t->stop(), 'stop');

# copies alone need no Litestream

$t->write_file_expand('nginx.conf', $conf =~ s/^ *litestream_db +app.*\n//mr);
$t->run();

is(code('ready'), 200, 'copies alone: ready');
is($t->waitforstate('copy', 'new'), 'new', 'copies alone: state');
is(join(' ', $t->litestream_pids), '', 'copies alone: no Litestream');
is($t->status->{litestream}[0]{state}, 'down', 'copies alone: its state');
is(post('verify')->{status}, 409, 'copies alone: nothing to verify');
is((cli($t, 'verify'))[0], 1, 'copies alone: the command');
ok($t->quit(), 'copies alone: quit');

# refused

for (
    [ 'replicate=perhaps', qr/invalid parameter "replicate=perhaps"/ ],
    [ 'replicate=off restore=off', qr/neither restored nor replicated/ ],
    [ 'replicate=on', qr/replica .* of database "copy" is duplicate/ ],
) {
    my ($text, $say) = @$_;

    $t->write_file_expand('nginx.conf', $conf =~ s/replicate=off/$text/r);

    my ($rc, $err) = $t->conf_test();
    like($err, qr/\[emerg\].*$say.* in \S*nginx\.conf:\d+/, "refused: $text");
}


sub code { return response(http_get("/litestream/$_[0]"))->{status} }
sub post { return response(http_post("/litestream/$_[0]", '')) }


sub body {
    return response(http_get('/',
        peer => '127.0.0.1:' . port($_[0])))->{body};
}
