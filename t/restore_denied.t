#!/usr/bin/perl

# A replica that cannot be read is not an empty one: nginx does not start when
# a database is missing then, says why, and has made nothing.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(21);

my $dir = $t->testdir;

$t->write_file_expand('nginx.conf', <<'EOC');

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
    }
}

EOC

my $replica = $t->db_dir('replica') . '/app';
my $db = $t->db('app', rows => 3);

$db->replicate("file://$replica");
$db->remove();

my $denied = qr/permission denied/;

for my $name ('', '/ltx', '/ltx/0', glob "$replica/ltx/0/*") {
    my $path = $name =~ /^$replica/ ? $name : "$replica$name";
    my $mode = (stat $path)[2] & 07777;

    chmod 0000, $path;
    refused($path =~ s!.*/replica!!r, $denied);
    chmod $mode, $path;
}

# an empty one, too: nothing is known of it

my ($ltx) = glob "$replica/ltx/0/*";
rename $ltx, "$dir/ltx" or die "rename() failed: $!\n";
chmod 0000, "$replica/ltx/0";
refused('an empty directory', $denied);
chmod 0755, "$replica/ltx/0";
rename "$dir/ltx", $ltx;

# something else is there

rename $replica, "$dir/good" or die "rename() failed: $!\n";
$t->write_file('replica/app', '');
refused('a file', qr/not a directory/);
unlink $replica;

rename "$dir/good", $replica or die "rename() failed: $!\n";

my ($rc, $err) = $t->try_run();

is($rc, 0, 'then nginx starts') or diag($err);
is($db->count, 3, 'rows');
is(join(' ', $db->beside), '', 'nothing is left beside it');


sub refused {
    my ($name, $why) = @_;

    my $before = $t->tree($db->dir);
    my ($rc, $err) = $t->try_run();

    isnt($rc, 0, "$name: nginx does not start");
    like($err, qr/\[emerg\] litestream: database "app": .*\Q$replica\E.*$why/,
        "$name: it says why");
    is_deeply($t->tree($db->dir), $before, "$name: nothing was made");
}
