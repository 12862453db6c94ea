#!/usr/bin/perl

# What litestream_vfs gives an application is all that Litestream's VFS needs:
# a user's shell reads a database from a folder, from S3 and from WebDAV, with
# nothing but that file, and sees what is committed while it reads.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Cwd qw/ abs_path /;
use Test::Litestream;
use Test::Litestream::S3;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/);

my $dir = $t->testdir;
my $user = ($t->user)[0];
my $so = abs_path('..') . '/build/litestream-vfs.so';

-f $so or die "$so was not found: make build/litestream-vfs.so\n";

# where every user can read it

$t->command('cp', $so, "$dir/litestream-vfs.so");
chmod 0755, "$dir/litestream-vfs.so";

my $s3 = Test::Litestream::S3->new($t, key => 'KEYofS3',
    secret => 'pa$$w0rd#$HOME=x');

$s3->start();

# a folder, served by WebDAV

mkdir "$dir/dav" or die "mkdir() failed: $!\n";
chown scalar(getpwnam $user), -1, "$dir/dav";

my $dav = $t->run_daemon(abs_path('../build/rclone'), 'serve', 'webdav',
    "$dir/dav", '--addr', '127.0.0.1:' . port(8095), '--user', 'u',
    '--pass', 'p@ss/w', '--config', '/dev/null');

$t->waitforsocket('127.0.0.1:' . port(8095)) or die "no WebDAV server\n";

$t->write_file('env', "KEY='" . $s3->key . "'\nSECRET='" . $s3->secret
    . "'\nDAV='p\@ss/w'\n");
chmod 0600, "$dir/env";

$t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_env_file  env;
    litestream_env       LITESTREAM_ACCESS_KEY_ID=\${KEY};
    litestream_env       LITESTREAM_SECRET_ACCESS_KEY=\${SECRET};
    litestream_env       LITESTREAM_LOG_FILE=/dev/null;
    litestream_env       no_proxy=127.0.0.1;
    litestream_user      $user;

    litestream_db   file %%TESTDIR%%/file/db.sqlite3
                    replica=file://%%TESTDIR%%/replica/fi\$alias;
    litestream_vfs  vfile file://%%TESTDIR%%/replica/fifile max_lag=30s;

    litestream_db   s3 %%TESTDIR%%/s3/db.sqlite3
                    'replica=${\ $s3->url('backups/a b/s3') }';
    litestream_vfs  vs3 '${\ $s3->url('backups/a b/s3') }';

    litestream_db   dav %%TESTDIR%%/davdb/db.sqlite3
                    replica=webdav://u:\${DAV}\@127.0.0.1:%%PORT_8095%%/x/dav;
    litestream_vfs  vdav webdav://u:\${DAV}\@127.0.0.1:%%PORT_8095%%/x/dav;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

my %db = (file => $t->db('file', rows => 2), s3 => $t->db('s3', rows => 3),
    dav => $t->db('davdb', rows => 4));

$t->db_dir('replica');
$t->run();

$t->plan(5 * keys(%db) + 1);

for my $name (sort keys %db) {

    is($t->waitforstate($name, 'replicating'), 'replicating',
        "$name: replicated");
    is(vfs($name, 'SELECT count(*) FROM t'), $db{$name}->count,
        "$name: its rows are read");

    # while it is read

    my $rows = $db{$name}->insert(1, 'more');

    ok($t->waituntil(sub { vfs($name, 'SELECT count(*) FROM t') eq $rows }),
        "$name: and those that come");

    like(vfs($name, "INSERT INTO t (v) VALUES ('x')"), qr/readonly|read-only/,
        "$name: nothing can be written");
    is(vfs($name, 'SELECT count(*) FROM t'), $rows, "$name: nor is it");
}

# what max_lag is for

is(vfs('file', 'SELECT litestream_lag() <= :max',
    '.parameter init', '.parameter set :max $LITESTREAM_VFS_MAX_LAG'), 1,
    'how old it is, and may be');


# by the user, with nothing but the file

sub vfs {
    my ($name, $sql, @before) = @_;

    my $file = $t->state_path . "/vfs/v$name.env";
    my $cmd = join ' ', map { "-cmd \"$_\"" } ".load $dir/litestream-vfs",
        ".open '\$LITESTREAM_VFS_URI'", '.timeout 10000', @before;

    my (undef, $out, $err) = $t->as_user($user, 'env', '-i',
        "PATH=$ENV{PATH}", 'timeout', $t->ceiling(20), 'sh', '-c',
        "set -a; . $file; exec sqlite3 -batch $cmd :memory: \"$sql\" </dev/null");

    return "$out$err" =~ s/\s+\z//r;
}
