#!/usr/bin/perl

# A second nginx on the same state path, or with databases in the same
# directory, is refused with the reason; the first one does not notice, and
# nothing of it is touched.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(20);

my $dir = $t->testdir;
my $db = $t->db('app', rows => 3);
my $other = Test::Litestream::DB->new($db->dir . '/other.sqlite3');

$t->db_dir($_) for qw/ replica replica2 two /;

conf('nginx.conf', 8080, 'app', $db->path, 'replica', '');

$t->run();
is($t->waitforstate('app', 'replicating'), 'replicating', 'the first one');

my @pids = pids();
my $before = $t->tree($db->dir);

# others, with a port and a pid file of their own

conf('second.conf', 8081, 'app', $db->path, 'replica', '');
refused('the same', qr/"\Q$dir\E\/s" is (in use|still locked)/);

conf('second.conf', 8081, 'app', "$dir/two/db.sqlite3", 'replica2', '');
refused('the state path', qr/"\Q$dir\E\/s" is (in use|still locked)/);

# the same database, and a missing one beside it

Test::Litestream::DB->make("$dir/two/x", rows => 1)
    ->replicate("file://$dir/replica2/other");

conf('second.conf', 8081, 'app', $db->path, 'replica2', "$dir/s2",
    "litestream_db other ${\ $other->path };");
refused('the directory',
    qr/database "other": directory "\Q@{[ $db->dir ]}\E" is locked by process/);
ok(!-e $other->path, 'the directory: nothing was restored');

# the first one goes on

is(join(' ', pids()), "@pids", 'the same processes');
is_deeply($t->tree($db->dir), $before, 'its files');

$db->insert(1);

ok($t->waituntil(sub { $db->restore_count("file://$dir/replica/app") == 4 }),
    'replicates');

# when it has gone, the way is free

ok($t->stop(), 'stop');

conf('nginx.conf', 8081, 'other', $other->path, 'replica2', "$dir/s2");

my ($rc, $err) = $t->try_run();

is($rc, 0, 'then nginx starts') or diag($err);
ok(-s $other->path, 'and restores');


sub refused {
    my ($name, $why) = @_;

    my $begin = $t->now;
    my ($rc, $err) = $t->nginx({ conf => "$dir/second.conf" });

    isnt($rc, 0, "$name: nginx does not start");
    like($err, qr/\[emerg\] litestream: $why/, "$name: it says why");
    is(join(' ', pids()), "@pids", "$name: the first one goes on");
    is(response(http_get('/litestream/ready'))->{status}, 200,
        "$name: it is ready");
}


sub pids {
    return ($t->master_pid, $t->worker_pids, $t->supervisor_pid,
        $t->litestream_pids);
}


sub conf {
    my ($name, $port, $alias, $path, $replica, $state, $more) = @_;

    my $pid = $name =~ s/conf$/pid/r;

    $more //= '';
    $t->state_path($state || "$dir/s");
    $t->write_file_expand($name, <<"EOC");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_shutdown_timeout  1s;

    litestream_replica  file://%%TESTDIR%%/$replica;
    litestream_db       $alias $path;
    $more

    server {
        listen  127.0.0.1:$port;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOC

    my $text = $t->read_file($name);

    $text =~ s/nginx\.pid;/$pid;/;
    $t->write_file($name, $text);
}
