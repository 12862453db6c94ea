#!/usr/bin/perl

# What is taken with a warning: a database on a network file system, a replica
# on the file system of its database, one on S3 without a key.  Each is said
# with file and line, that of a replica once, and in "nginx -t" as well as at a
# start.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use File::Path qw/ remove_tree /;
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3 cc/)->plan(37);

my $dir = $t->testdir;

# another file system; each replica is made there by the user

my $away = "/dev/shm/ngls-test-$$";

mkdir $away or die "mkdir($away) failed: $!\n";
chmod 0777, $away;
END { remove_tree($away) if $away && -d $away }

isnt((stat $away)[0], (stat $dir)[0], '/dev/shm is another file system');

$t->db_dir($_) for qw/ one two /;

my $config = <<'EOF';
%%TEST_GLOBALS%%
daemon off;
events { }
http {
    %%TEST_GLOBALS_HTTP%%
    litestream_replica file://%%TESTDIR%%/no/such/replica;
    litestream_db one %%TESTDIR%%/one/a.sqlite3;
    litestream_db two %%TESTDIR%%/one/b.sqlite3;

    server {
        listen 127.0.0.1:8080;
        litestream_db three %%TESTDIR%%/two/a.sqlite3;
        location /litestream/ { litestream_api db=one,two,three,four; }
    }

    server {
        listen 127.0.0.1:8081;
        litestream_db four %%TESTDIR%%/two/b.sqlite3
                      replica=file://%%TESTDIR%%/own;
    }
}
EOF

# the same file system

my @said = warnings_of($config);

is(scalar @said, 2, 'two replicas, two warnings');
like($said[0], qr!replica "file://$dir/no/such/replica/one" is on !,
    'litestream_replica');
like($said[0], qr/ the file system of database "one" itself/, 'of which');
like($said[0], place(qr/litestream_replica/), 'its place');
like($said[1], qr!replica "file://$dir/own" .* database "four"!, 'replica=');
like($said[1], place(qr/replica=file/), 'its place');

# one that is only read

@said = warnings_of($config =~ s!/own;!/own replicate=off;!r);

is(scalar @said, 1, 'not for replicate=off');

# another one

@said = warnings_of($config =~ s!%%TESTDIR%%/(?=no|own)!$away/!gr);

is(join('', @said), '', 'another file system');

# one of several

@said = warnings_of($config =~ s!%%TESTDIR%%/no!$away/no!r);

is(scalar @said, 1, 'one of two');
like($said[0], qr/database "four"/, 'which one');

# a key that is not there, which must not be one of Amazon's machines

my $s3 = $config
    =~ s!file:\S+/own!s3://b/own?endpoint=https://s.example!r
    =~ s!file:\S+/no/such/replica!s3://b/p endpoint=https://s.example!r;

my @keys = qw/ ACCESS_KEY_ID=k SECRET_ACCESS_KEY=s /;

@said = warnings_of($s3);

is(scalar @said, 2, 'no key: each replica once');
like($said[0], qr!no key is said for replica "s3://b/p/one".*env_file!,
    'no key');
like($said[0], place(qr/litestream_replica/), 'its place');
like($said[1], qr!replica "s3://b/own!, 'replica=');

is(join('', keyless($s3 =~ s!.endpoint=https://s.example!!gr)), '',
    'at Amazon');
unlike(join('', keyless($s3 =~ s!(p endpoint.*);!$1 @{[map { lc } @keys]};!r)),
    qr!s3://b/p!, 'a parameter');
is(join('', keyless($s3 =~ s!(?=litestream_replica)!
    join ' ', map { "litestream_env AWS_$_;\n" } @keys !er)), '',
    'a variable');

@said = keyless($s3 =~ s!(?=litestream_db four)!
    join ' ', map { "litestream_env LITESTREAM_$_;\n" } @keys !er);

like(join('', @said), qr!^[^\n]*"s3://b/p/one"[^\n]*$!,
    'a variable of a site');

# a network file system: what statfs() says is put into its mouth

$t->write_file('statfs.c', <<'EOF');
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#undef statfs
#undef statfs64

static void
change(const char *path, long *type)
{
    char  *text = getenv("TEST_STATFS");

    if (text && strstr(path, "/two")) {
        *type = strtol(text, NULL, 0);
    }
}

int
statfs(const char *path, struct statfs *buf)
{
    int  (*real)(const char *, struct statfs *) = dlsym(RTLD_NEXT, "statfs");
    int    rc = real(path, buf);

    change(path, (long *) &buf->f_type);
    return rc;
}

int
statfs64(const char *path, struct statfs64 *buf)
{
    int  (*real)(const char *, struct statfs64 *) = dlsym(RTLD_NEXT,
                                                          "statfs64");
    int    rc = real(path, buf);

    change(path, (long *) &buf->f_type);
    return rc;
}
EOF

my ($rc, undef, $err) = $t->command('cc', '-shared', '-fPIC', '-o',
    "$dir/statfs.so", "$dir/statfs.c", '-ldl');

is($rc, 0, 'a library for tests') or diag($err);

my $local = $config =~ s!%%TESTDIR%%/(?=no|own)!$away/!gr;

is(join('', warnings_of($local, 0xef53)), '', 'ext4');

for ([ 0x6969, 'NFS' ], [ 0xff534d42, 'CIFS' ], [ 0xfe534d42, 'SMB' ],
    [ 0x01021997, '9p' ], [ 0x65735546, 'FUSE' ])
{
    my ($type, $name) = @$_;

    @said = warnings_of($local, $type);

    is(scalar @said, 2, "$name: each database that is there");
    like($said[0], qr!database "three" is on a network file system \($name\)!,
        "$name: the warning");
}

like($said[0], place(qr/litestream_db three/), 'its place');

# at a start

$t->write_file_expand('nginx.conf', $config);
mkdir "$dir/no";
mkdir "$dir/$_" or die for qw! no/such own !;
chmod 0777, "$dir/$_" for qw! no/such own !;

my $mark = $t->log_mark;

($rc, $err) = $t->try_run();

is($rc, 0, 'nginx starts');
is(scalar(my @lines = $err =~ /\[warn\].*file system/g), 2, 'says it');
is($t->waitforstate('four', 'new|replicating'), 'new', 'a site');

$mark = $t->log_mark;
ok($t->reload(), 'reload');
is(scalar(@lines = $t->read_log(qr/\[warn\].*file system/, $mark)), 2,
    'says it again');


sub warnings_of {
    my ($text, $type) = @_;
    my %env;

    $t->write_file_expand('nginx.conf', $text);

    if (defined $type) {
        %env = (LD_PRELOAD => "$dir/statfs.so", TEST_STATFS => $type,
            ASAN_OPTIONS => join ':', $ENV{ASAN_OPTIONS} // (),
                'verify_asan_link_order=0');
    }

    my ($rc, $err) = $t->conf_test(env => \%env);

    diag($err) if $rc;
    return 'refused' if $rc;
    return $err =~ /^(.*\[warn\].*)$/mg;
}


sub keyless { return grep { /refused|no key/ } warnings_of(@_) }


sub place {
    my ($re) = @_;
    my $line = $t->line_of($re);
    return qr/ in \S*nginx\.conf:$line$/;
}
