#!/usr/bin/perl

# A reload takes the databases out of the configuration, then one puts them
# back: the supervisor and Litestream end after a last sync, the master lives,
# and all is taken up again.  The same with one database of two.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ alive /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(33);

my $dir = $t->testdir;

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

my %db = map { $_ => $t->db($_, rows => 3) } qw/ app two /;
my $rows = 3;

$t->db_dir('replica');
$t->write_file('index.html', 'a page');

my $conf = $t->read_file('nginx.conf');

$t->run();

is($t->waitforstate($_, 'replicating'), 'replicating', "$_: replicating")
    for qw/ app two /;

my $master = $t->master_pid;

for my $n (1, 2) {
    my ($pid) = $t->litestream_pids;
    my $super = $t->supervisor_pid;

    # all: commits right before it are in the replica

    $t->write_file('nginx.conf',
        $conf =~ s/^ *litestream_(db|replica|api).*//mgr);

    $rows += 2;
    $_->insert(2) for values %db;

    ok($t->reload(), "$n: removed");
    ok($t->waituntil(sub { !alive($super) && !alive($pid) }, 15),
        "$n: the supervisor and Litestream end");
    is($db{$_}->restore_count("file://$dir/replica/$_"), $rows,
        "$n: $_: after a last sync") for qw/ app two /;
    like(http_get('/index.html'), qr/ 200 /, "$n: the site is served");

    # commits while nobody looks

    $rows += 1;
    $_->insert(1) for values %db;

    ok($t->reload(), "$n: reload without it");

    $t->write_file('nginx.conf', $conf);

    ok($t->reload(), "$n: put back");
    is($t->waitforstate($_, 'replicating'), 'replicating',
        "$n: $_: replicating again") for qw/ app two /;
    ok($t->waituntil(sub {
        2 == grep {
            $db{$_}->restore_count("file://$dir/replica/$_") == $rows
        } keys %db;
    }, 15), "$n: nothing was lost");
}

is($t->master_pid, $master, 'the same master');

# one of two

$t->write_file('nginx.conf', $conf =~ s/^ *litestream_db +two.*//mr);

$rows += 1;
$_->insert(1) for values %db;

my ($pid) = $t->litestream_pids;

ok($t->reload(), 'one is removed');
ok($t->waituntil(sub {
    my $st = $t->status();
    return $st->{databases} && 1 == @{ $st->{databases} }
           && $st->{databases}[0]{state} eq 'replicating'
           && $st->{litestream}[0]{pid} != $pid;
}, 20), 'the other one is replicated');
is($db{two}->restore_count("file://$dir/replica/two"), $rows,
    'it had a last sync');

$db{$_}->insert(1) for qw/ app two /;

ok($t->waituntil(sub {
    $db{app}->restore_count("file://$dir/replica/app") == $rows + 1
}, 15), 'commits of the other one');
is($db{two}->restore_count("file://$dir/replica/two"), $rows,
    'and not of this one');

$t->write_file('nginx.conf', $conf);

ok($t->reload(), 'it is put back');
ok($t->waituntil(sub {
    $db{two}->restore_count("file://$dir/replica/two") == $rows + 1
}, 20), 'it is replicated again');
is($t->status()->{supervisor}{restarts}, 0,
    'none of this was a restart of the supervisor');
ok($t->quit(), 'quit');
is(join("\n", $t->read_log(qr/was not synced before the end/)), '',
    'nothing to complain of');
