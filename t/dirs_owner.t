#!/usr/bin/perl

# Directories that are made again for a restored database: with the mode of the
# root, by the user that replicates, and given to owner= if that user can still
# work there.  Nothing is made that this user could not make.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use File::Path qw/ remove_tree /;
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(19);

my $dir = $t->testdir;
my $root = $> == 0;

# u:g replicates; o is another user, to whom databases belong

my ($u, $g, $uid, $gid) = $t->user;
my ($o, $og, $oid, $ogid) = $root ? $t->worker_user : $t->user;

$t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_user     $u $g;
    litestream_replica  file://%%TESTDIR%%/replica;

    litestream_db  plain  %%TESTDIR%%/plain/**/*.db;
    litestream_db  given  %%TESTDIR%%/given/**/*.db  owner=$o:$g mode=0660;
    litestream_db  kept   %%TESTDIR%%/kept/**/*.db   owner=$o:$og mode=0666;

    server {
        listen         127.0.0.1:8080;
        server_name    shut.example.com;
        litestream_db  shut  %%TESTDIR%%/shut/**/*.db  owner=$o:$g mode=0660;
    }

    server {
        listen  127.0.0.1:8080 default_server;

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOF

my %mode = (plain => 0750, given => 02770, kept => 0750, shut => 0770);
my %sub = map { $_ => [ "$dir/$_/a", "$dir/$_/a/b" ] } keys %mode;
my %db;

$t->db_dir('replica');

for (sort keys %mode) {
    my @dirs = ($_, "$_/a", "$_/a/b");

    $t->db_dir($_) for @dirs;
    $db{$_} = Test::Litestream::DB->make("$dir/$_/a/b/x.db",
        rows => length, user => $uid);

    if ($root && /^(given|shut)$/) {
        chown $oid, $gid, "$dir/$_" or die "chown: $!\n";
    }

    chmod $mode{$_}, map { "$dir/$_" } @dirs or die "chmod: $!\n";
}

$t->run();

is($t->waitforstate("$_/a/b/x.db", 'replicating'), 'replicating',
    "$_: replicating") for sort keys %mode;

ok($t->quit(), 'quit');

remove_tree("$dir/$_/a") for keys %mode;

# a user without rights there: only root could make it

chmod 0750, "$dir/shut" or die "chmod: $!\n" if $root;

$t->run();

is($db{$_}->count, length, "$_: restored") for qw/ plain given kept /;

is(join(' ', map { owner($_) } @{ $sub{plain} }),
    join(' ', ("$uid:$gid:0750") x 2), 'plain: the user\'s');
is(join(' ', map { owner($_) } @{ $sub{given} }),
    join(' ', ("$oid:$gid:2770") x 2), 'given: to the owner, all of them');
is(owner($db{given}->path), "$oid:$gid:0660", 'given: the file');

# others could not be used by the user any more

is(join(' ', map { owner($_) } @{ $sub{kept} }),
    join(' ', ("$uid:$gid:0750") x 2), 'kept: the user\'s');
is(owner($db{kept}->path), $root ? "$oid:$ogid:0666" : "$uid:$gid:0666",
    'kept: the file is the owner\'s');

# by the process that has restored them, which has ended

is(join("\n", map { s/.*\d: litestream: //r }
    $t->read_log(qr/\[warn\].*directory "(?!shut)/)), $root
    ? 'directory "kept": directory "a" was made anew, and not given to uid '
        . "$oid, gid $ogid: with mode 0750 its databases could not be "
        . "replicated by uid $uid; and 1 more" : '', 'kept: told');

is($t->waitforstate("$_/a/b/x.db", 'replicating'), 'replicating',
    "$_: replicating again") for qw/ plain given kept /;

if ($root) {
    is($t->waitforstate('shut/a/b/x.db', 'error'), 'error', 'shut: state');
    ok(!-e "$dir/shut/a", 'shut: nothing was made by root');

} else {
    is($t->waitforstate('shut/a/b/x.db', 'replicating'), 'replicating',
        'shut: it is the user\'s own');
    ok(-e "$dir/shut/a", 'shut: made');
}


sub owner {
    my ($path) = @_;

    my @st = stat $path or return "$path: $!";
    return sprintf '%d:%d:%04o', @st[4, 5], $st[2] & 07777;
}
