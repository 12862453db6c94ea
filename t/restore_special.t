#!/usr/bin/perl

# Something else has the name of the database, or of its temporary file:
# neither is it opened, nor written through, nor removed with all that it
# stands for.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan($> == 0 ? 29 : 25);

my $dir = $t->testdir;
my ($user) = $t->user;
my ($worker, $wgroup) = $t->worker_user;

my $db = $t->db('app', rows => 3);
my $replica = $t->db_dir('replica');

$db->replicate("file://$replica/app");
$db->remove();

my $path = $db->path;

# the name of the database

conf('');

refused('a directory', qr/is a directory/, 'mkdir', $path);
refused('a FIFO', qr/is not a regular file/, 'mkfifo', $path);
refused('a socket', qr/is not a regular file/, $^X, '-MIO::Socket::UNIX', '-e',
    "IO::Socket::UNIX->new(Local => '$path', Listen => 1)");

# the name of the temporary file, of a user who wants a file of root's

my $temp = "$dir/app/.db.sqlite3.ngx-litestream-restore";
my $real = $t->litestream;
my $secret = $t->write_file('secret', 'secret');

chmod 0600, $secret;

$t->litestream_bin($t->write_file('swaps', <<EOS));
#!/bin/sh
[ "\$1" = restore ] || exec $real "\$@"
. $dir/swap
EOS
chmod 0755, "$dir/swaps";

conf($> == 0 ? "owner=$worker:$wgroup mode=0666" : '');

swapped('a link', qr/cannot be finished/, "ln -s $secret $temp");
swapped('a FIFO', qr/cannot be finished|not what was restored/,
    "mkfifo $temp");
swapped('nothing', qr/cannot be finished/, 'true');
swapped('a directory', qr/cannot be finished/, "mkdir $temp");

# only root gives files away: not one that has another name

if ($> == 0) {
    rmdir $temp;
    $t->as_user($user, 'cp', '/etc/passwd', "$dir/app/own");
    swapped('a second name', qr/not what was restored/,
        "ln $dir/app/own $temp");
    is((stat "$dir/app/own")[4], ($t->user)[2], 'a second name: its owner');
    unlink "$dir/app/own";
}

# links to names that the restore uses are replaced, not followed

rmdir $temp;
$t->write_file('swap', "exec $real \"\$@\"\n");
$t->as_user($user, 'ln', '-s', $secret, "$temp$_") for '', '.tmp', '-wal';

my ($rc, $err) = $t->try_run();

is($rc, 0, 'links: nginx starts') or diag($err);
ok(-s $path, 'links: the database');
is($t->read_file('secret'), 'secret', 'links: nothing was written there');
is(join(' ', $db->beside), '', 'links: nothing is left');


sub refused {
    my ($name, $why, @make) = @_;

    $t->as_user($user, @make);

    my $before = $t->tree($db->dir);
    my ($rc, $err) = $t->try_run();

    isnt($rc, 0, "$name: nginx does not start");
    like($err, $why, "$name: it says why");
    is_deeply($t->tree($db->dir), $before, "$name: nothing was touched");

    $t->command('rm', '-rf', $path);
}


sub swapped {
    my ($name, $why, $command) = @_;

    $t->write_file('swap', "$command\n");

    my ($rc, $err) = $t->try_run();

    isnt($rc, 0, "$name in its place: nginx does not start");
    like($err, $why, "$name in its place: it says why");
    is(join(' ', sprintf('%o', (stat $secret)[2] & 07777), (stat $secret)[4],
        $t->read_file('secret')), "600 $> secret",
        "$name in its place: nothing was touched");
}


sub conf {
    my ($params) = @_;

    $t->write_file_expand('nginx.conf', <<"EOC");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3 $params;
    litestream_user     %%USER%%;

    server {
        listen  127.0.0.1:8080;
    }
}

EOC
}
