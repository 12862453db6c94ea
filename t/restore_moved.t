#!/usr/bin/perl

# A database is missing, and its replica holds nothing, since a word of its
# place has been changed: nginx does not start with an empty one.  Where it was
# replicated to is known.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(30);

my $dir = $t->testdir;

my $replica = $t->db_dir('replica');
my $db = Test::Litestream::DB->make($t->db_dir('app') . '/the shop.sqlite3',
    rows => 3);

my $was = "file://$replica/prod/shop";

# what is known of it is there at once, and after some time

conf("file://$replica/prod", 'shop');
$t->run();

is($t->waitforstate('shop', 'replicating'), 'replicating', 'replicating');

ok($t->quit(), 'quit');

# the machine is lost, and what was typed anew is not what it was; in the same
# folder a neighbor shows it already, in storages that list nothing it does not

$db->remove();

conf("file://$replica/prd", 'shop');
refused('the prefix', "file://$replica/prd/shop");

conf("file://$replica/elsewhere/\$file", 'shop');
refused('a pattern', "file://$replica/elsewhere/the shop.sqlite3");

conf("file://$replica/other", 'store');
refused('the alias', "file://$replica/other/store");

# again, since it is remembered until it is understood

refused('once more', "file://$replica/other/store");

# it is what the message says

conf("file://$replica/prod", 'shop');

my ($rc, $err) = $t->try_run();

is($rc, 0, 'the place of the message: nginx starts') or diag($err);
is($db->count, 3, 'the place of the message: rows');
is($t->waitforstate('shop', 'replicating'), 'replicating', 'it goes on');
ok($t->quit(), 'quit');

# a database that is there may be replicated elsewhere

conf("file://$replica/second", 'shop');

($rc, $err) = $t->try_run();

is($rc, 0, 'present: nginx starts') or diag($err);
is($t->waitforstate('shop', 'replicating'), 'replicating', 'present: elsewhere');
ok($t->quit(), 'quit');

# the newest of its places is told

$db->remove();
$was = "file://$replica/second/shop";

conf("file://$replica/third", 'shop');
refused('two places', "file://$replica/third/shop");

# another database is none of that

conf("file://$replica/third", 'blog', 'blog/db.sqlite3');
$t->db_dir('blog');

($rc, $err) = $t->try_run();

is($rc, 0, 'another one: nginx starts') or diag($err);
is($t->waitforstate('blog', 'new'), 'new', 'another one: new');
ok($t->stop(), 'stop');

# one who knows better says so

conf("file://$replica/third", 'shop', undef, 'restore=off');

($rc, $err) = $t->try_run();

is($rc, 0, 'restore=off: nginx starts') or diag($err);
is($t->waitforstate('shop', 'new'), 'new', 'restore=off: new');
ok($t->stop(), 'stop');


sub refused {
    my ($name, $empty) = @_;

    my $before = $t->tree($db->dir);
    my ($rc, $err) = $t->try_run();

    isnt($rc, 0, "$name: nginx does not start");
    like($err, qr/\[emerg\].*\Q"$empty" holds no backup\E,\ but\ this
        .*to\ "\Q$was\E"\ until\ 20..-..-..T.*restore=off/x,
        "$name: where it was");
    is_deeply($t->tree($db->dir), $before, "$name: nothing was made");
}


sub conf {
    my ($url, $alias, $path, $params) = @_;

    $path //= 'app/the shop.sqlite3';
    $params //= '';

    $t->write_file_expand('nginx.conf', <<"EOC");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  "$url";
    litestream_db       $alias "%%TESTDIR%%/$path" $params;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOC
}
