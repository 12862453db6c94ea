#!/usr/bin/perl

# restore=required: without a backup nginx does not start, so that a new
# machine cannot begin with an empty database by mistake.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(10);

my $dir = $t->testdir;

$t->write_file_expand('nginx.conf', <<'EOC');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3 restore=required;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOC

my $replica = $t->db_dir('replica');
my $db = Test::Litestream::DB->new($t->db_dir('app') . '/db.sqlite3');

refused('no file');

$t->as_user($db->user, 'touch', $db->path);
refused('0 bytes');

# a backup is there: as always

unlink $db->path;
Test::Litestream::DB->make($db->path, rows => 2)
    ->replicate("file://$replica/app");
$db->remove();

my ($rc, $err) = $t->try_run();

is($rc, 0, 'a backup: nginx starts') or diag($err);
is($db->count, 2, 'a backup: rows');
ok($t->stop(), 'stop');

# a database is there: it needs no backup

$t->command('rm', '-rf', "$replica/app", $t->state_path);

($rc, $err) = $t->try_run();

is($rc, 0, 'a database: nginx starts') or diag($err);


sub refused {
    my ($name) = @_;

    my $before = $t->tree($db->dir);
    my ($rc, $err) = $t->try_run();

    isnt($rc, 0, "$name: nginx does not start");
    like($err, qr/"app": replica "file:\S+app" holds no backup.*=required/,
        "$name: it says why");
    is_deeply($t->tree($db->dir), $before, "$name: nothing was made");
}
