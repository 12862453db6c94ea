#!/usr/bin/perl

# The replica of a missing database is empty, but a backup of nobody else's
# lies beside it: most likely that one was meant.  nginx does not start then,
# and names it.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(22);

my $dir = $t->testdir;

my $replica = $t->db_dir('replica');
my $db = $t->db('app', rows => 3);

$db->replicate("file://$replica/db.sqlite3");
$db->remove();

# the backup has the name of the file, the replica that of the alias

conf("file://$replica");
refused('another name', "$replica/app", "$replica/db.sqlite3");

# it is what the message says

conf("file://$replica/\$file");

my ($rc, $err) = $t->try_run();

is($rc, 0, 'the name of the message: nginx starts') or diag($err);
is($db->count, 3, 'the name of the message: rows');
ok($t->stop(), 'stop');

$db->remove();

# a machine that has never seen the backup, else it were known where it is

$t->command('rm', "$dir/s/replicas");

# an old backup, of Litestream 0.3: nothing can be listed there

$t->as_user($db->user, 'mkdir', '-p',
    "$replica/old/x/generations/0123456789abcdef");

conf("file://$replica/old/\$alias");
refused('generations', "$replica/old/app", "$replica/old/x");

# neighbors that hold no backup: a file, an empty directory, somebody's data

$t->as_user($db->user, 'mkdir', '-p', map { "$replica/none/$_" }
    qw/ a b.c other\ name/, '.x/ltx');
$t->as_user($db->user, 'touch', "$replica/none/ltx");

conf("file://$replica/none/\$alias");

($rc, $err) = $t->try_run();

is($rc, 0, 'no backup: nginx starts') or diag($err);
is($t->waitforstate('app', 'new'), 'new', 'no backup: new');
ok($t->stop(), 'stop');

# that of another database of this nginx is no reason either

my $two = $t->db('two', rows => 4);

$two->replicate("file://$replica/both/two");
$two->remove();

conf("file://$replica/both", "litestream_db two $dir/two/db.sqlite3;");

($rc, $err) = $t->try_run();

is($rc, 0, 'its own: nginx starts') or diag($err);
is($t->waitforstate('app', 'new'), 'new', 'its own: new');
is($two->count, 4, 'its own: restored');
ok($t->stop(), 'stop');

# one who knows better says so

conf("file://$replica", '', 'restore=off');

($rc, $err) = $t->try_run();

is($rc, 0, 'restore=off: nginx starts') or diag($err);
is($t->waitforstate('app', 'new'), 'new', 'restore=off: state');

$db->sql('CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);');
$db->insert(1);

ok($t->waituntil(sub { $db->restore_count("file://$replica/app") == 1 }),
    'restore=off: its backup');
is($db->restore_count("file://$replica/db.sqlite3"), 3,
    'restore=off: the other one is as it was');


sub conf {
    my ($url, $more, $params) = @_;

    $more //= '';
    $params //= '';

    $t->write_file_expand('nginx.conf', <<"EOC");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  $url;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3 $params;
    $more

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOC
}


sub refused {
    my ($name, $empty, $found) = @_;

    my $before = $t->tree($db->dir);
    my ($rc, $err) = $t->try_run();

    isnt($rc, 0, "$name: nginx does not start");
    like($err,
        qr/\[emerg\].*database "app": replica "file:\/\/\Q$empty\E" is empty/,
        "$name: what is empty");
    like($err, qr/"\Q$found\E" holds a backup.*replica=file:\/\/\Q$found\E /,
        "$name: what is not");
    is_deeply($t->tree($db->dir), $before, "$name: nothing was made");
}
