#!/usr/bin/perl

# Owner, group and mode of a restored file: those of the user that it is
# restored as, and 0640, or what owner= and mode= say.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Command qw/ ids /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(15);

my $dir = $t->testdir;
my ($user, $group, $uid, $gid) = $t->user;
my ($worker, $wgroup, $wuid, $wgid) = $t->worker_user;

# other people's files are root's to give

my $root = $> == 0;

my %expect = (
    plain => [ $uid, $gid, 0640 ],
    mode => [ $uid, $gid, 0660 ],
    owner => [ $uid, $gid, 0600 ],
    number => [ $uid, $gid, 0640 ],
    group => [ $uid, $root ? $wgid : $gid, 0664 ],
    other => [ $root ? ($wuid, $wgid) : ($uid, $gid), 0666 ],
);

$t->write_file_expand('nginx.conf', <<'EOC');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;

    include             %%TESTDIR%%/dbs.conf;

    server {
        listen  127.0.0.1:8080;
    }
}

EOC

my $ggroup = $root ? $wgroup : $group;
my $other = $root ? "$worker:$wgroup" : "$user:$group";

$t->write_file('dbs.conf', <<EOC);
litestream_db plain  $dir/plain/db.sqlite3;
litestream_db mode   $dir/mode/db.sqlite3 mode=0660;
litestream_db owner  $dir/owner/db.sqlite3 owner=$user mode=600;
litestream_db number $dir/number/db.sqlite3 owner=$uid:$gid;
litestream_db group  $dir/group/db.sqlite3 owner=$user:$ggroup mode=0664;
litestream_db other  $dir/other/db.sqlite3 owner=$other mode=0666;
litestream_user $user $group;
EOC

$t->db_dir('replica');

my %db = map { $_ => $t->db($_, rows => 3) } keys %expect;

for (sort keys %db) {
    $db{$_}->replicate("file://$dir/replica/$_");
    $db{$_}->remove();
}

umask 077;

my ($rc, $err) = $t->try_run();

is($rc, 0, 'exit code') or diag($err);

for (sort keys %db) {
    my @st = stat $db{$_}->path;

    is(sprintf('%d %d %o', @st[4, 5], $st[2] & 07777),
        sprintf('%d %d %o', @{ $expect{$_} }), "$_: owner, group, mode");
    is(join(' ', $db{$_}->beside), '', "$_: nothing beside it");
}

is($db{plain}->count, 3, 'its user reads it');

is(scalar(my @lines = $t->read_log(qr/was restored from/)), keys %db,
    'the log tells of each');
