#!/usr/bin/perl

# nginx-litestream reset: only while nothing replicates the database, be it
# nginx, or a Litestream that somebody else has started; -dry-run removes
# nothing; and what nginx makes of it then.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::CLI;
use Test::Litestream::Command qw/ become /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(27 - ($> && 1));

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

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

my $db = $t->db('app', rows => 3);
my $path = $db->path;
my $user = ($t->user)[0];
my $ltx = $db->meta . '/ltx/0';

$t->db_dir($_) for qw/ replica other /;
$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

my @files = files();

cmp_ok(scalar @files, '>', 0, 'there is something');

# while nginx runs

my $supervisor = $t->supervisor_pid;
my ($rc, $out, $err) = cli($t, 'reset', 'app');

is("$rc$out", '1', 'nginx is up: exit code');
like($err, qr/^\S+\ database\ "app"\ is\ in\ the\ care\ of\ process
    \ \d+\ \(.+\):\ reset\ works\ while\ nginx\ is\ down\n\z/x, 'nginx is up');
is(join(' ', files()), "@files", 'nginx is up: nothing is removed');

($rc, $out, $err) = cli($t, 'reset', '-dry-run', 'app');

is("$rc$err", '0', '-dry-run: exit code');
like($out, qr/^Would remove: \Q$dir\E.*^  \Q$ltx\E\/\Q$files[0]\E$/ms,
    '-dry-run');
is(join(' ', files()), "@files", '-dry-run: nothing is removed');

ok($t->quit(), 'quit');

# while somebody else replicates it

my $log = $t->write_file('other.log', '');
chmod 0666, $log;

my $pid = $t->run_daemon(sub {
    open STDOUT, '>>', $log;
    open STDERR, '>>', $log;
    become($user);
    exec $t->litestream, 'replicate', $path, "file://$dir/other";
});

ok($t->waituntil(sub { glob "$dir/other/ltx/0/*" }), 'another Litestream');

@files = files();
($rc, $out, $err) = cli($t, 'reset', 'app');

is("$rc$out", '1', 'another Litestream: exit code');
is($err, "nginx-litestream: database \"app\" is open in process $pid "
    . "(litestream): stop that first\n", 'another Litestream: which');
is(join(' ', files()), "@files", 'another Litestream: nothing is removed');

$t->stop_daemon($pid);

# somebody else's lock

$pid = $t->run_daemon(sub {
    open my $lock, '<', "$dir/app" or die;
    flock $lock, 2 or die;
    $t->write_file('locked', '');
    sleep 60;
});

ok($t->waitforfile("$dir/locked"), 'another lock');
like((cli($t, 'reset', 'app'))[2],
    qr/^\S+ database "app" is in the care of process $pid \(\S+\): /,
    'another lock: whose');
$t->stop_daemon($pid);

# not a database

is((cli($t, 'reset', 'file:///x'))[0], 2, 'a URL');
is((cli($t, 'reset', 'no'))[0], 2, 'unknown');
if ($> == 0) {
    is((cli($t, { user => 12345 }, 'reset', 'app'))[2],
        "nginx-litestream: database \"app\": run this as root, or as user "
        . "\"$user\"\n", 'another user');
}

# as it should be

@files = files();
cmp_ok(scalar @files, '>', 0, 'there is still something');

($rc, $out, $err) = cli($t, { user => $user }, 'reset', 'app');

is("$rc$err", '0', 'nothing replicates it: exit code');
like($out, qr/^Reset complete\./m, 'nothing replicates it');
like($out, qr/^nginx takes "app" for a database that its replica is ahead of/m,
    'what nginx makes of it');
is(join(' ', files()), '', 'it is removed');
is($db->count, 3, 'the database is as it was');

($rc, $out) = cli($t, 'reset', 'app');
is($rc, 0, 'once more');

$t->run();

is($t->waitforstate('app', 'error'), 'error', 'nginx: state');
like($t->database('app')->{error}, qr/is ahead of the database/, 'nginx: why');


sub files {
    opendir my $d, $ltx or return ();
    return sort grep { !/^\.\.?$/ } readdir $d;
}
