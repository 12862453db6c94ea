#!/usr/bin/perl

# "nginx -t", "-T" and "-s" read the configuration, and that is all: nothing is
# restored, nothing is started, nothing is written, Litestream is not asked
# even for its version.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(17);

my $dir = $t->testdir;

$t->fake();

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;
    litestream_db       here %%TESTDIR%%/here/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

# one that could be restored, one that could be replicated

my $db = $t->db('app', rows => 3);
my $replica = $t->db_dir('replica');

replicate_once($db, "file://$replica/app");
$db->remove();

$t->db('here', rows => 3);

is($db->restore_count("file://$replica/app"), 3, 'there is a backup');

my $before = tree();
my ($rc, $out) = $t->conf_test();

is($rc, 0, 'nginx -t') or diag($out);
like($out, qr/syntax is ok/, 'nginx -t succeeds');
is_deeply(tree(), $before, 'nginx -t: no trace');

($rc, $out) = $t->nginx('-T');

is($rc, 0, 'nginx -T');
like($out, qr!litestream_db +app $dir/app/db\.sqlite3;!, 'nginx -T prints');
is_deeply(tree(), $before, 'nginx -T: no trace');

# a signal, to whoever is in the pid file

my $pid = $t->run_daemon(sub {
    my $hup = 0;

    local $SIG{HUP} = sub { $hup = 1 };

    $t->write_file('ready.log', '');
    select undef, undef, undef, 0.02 until $hup;
    $t->write_file('hup.log', '');
});

$t->waitforfile('ready.log');
$t->write_file('nginx.pid', "$pid\n");

($rc, $out) = $t->nginx('-s', 'reload');

is($rc, 0, 'nginx -s') or diag($out);
ok($t->waitforfile('hup.log'), 'nginx -s: the signal arrived');
is_deeply(tree(), $before, 'nginx -s: no trace');

$t->stop_daemon($pid);
unlink "$dir/nginx.pid";

($rc, $out) = $t->nginx('-s', 'stop');

isnt($rc, 0, 'nginx -s without an nginx');
is_deeply(tree(), $before, 'nginx -s without an nginx: no trace');

# a test beside an nginx that runs

$t->run();

ok($t->waituntil(sub { $t->litestream_pids }), 'Litestream runs');

my @pids = pids();

is($db->count(), 3, 'the start restored');
is(($t->conf_test())[0], 0, 'nginx -t beside it');
is(join(' ', pids()), "@pids", 'nginx -t beside it: the same processes');
ok($t->stop(), 'stop');


# calls of the stand-in would be seen by the size of fake/calls

sub tree {
    my $tree = $t->tree;

    my $own = qr!/(\w+\.log|nginx\.pid|nginx\.conf|\w+_temp)(/|$)!;
    delete @$tree{ grep { /^\Q$dir\E$own/ } keys %$tree };

    return $tree;
}


sub pids {
    return ($t->master_pid, $t->worker_pids, $t->supervisor_pid,
        $t->litestream_pids);
}


sub replicate_once {
    my ($from, $url) = @_;

    my ($rc, $out, $err) = $t->as_user($from->user, $t->litestream,
        'replicate', '-once', $from->path, $url);
    die "litestream replicate -once: $err\n" if $rc;
}
