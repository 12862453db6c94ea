#!/usr/bin/perl

# nginx-litestream init: an nginx.conf from the SQLite databases of directories,
# which nginx accepts as it is; what is none, hidden, too deep or root's is left
# out.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use File::Path qw/ make_path /;
use POSIX qw//;

use Test::Litestream;
use Test::Litestream::CLI;
use Test::Litestream::Init qw/ accepted databases /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(35);

my $dir = $t->testdir;
my $srv = $t->db_dir('srv');
my ($user) = $t->user;

# what is one, and what is none

make_path(map { "$srv/$_" } 'app/data', 'blog', 'one two', '.hidden',
    'node_modules/x', 'deep/' . join('/', 1 .. 6), 'deeper/'
    . join('/', 1 .. 9), 'empty');
sqlite("app/data/db.sqlite3", 'PRAGMA journal_mode = WAL;');
sqlite($_) for 'blog/db.sqlite3', 'one two/a;b{c}.db', '.hidden/x.db',
    'node_modules/x/x.db', 'deep/' . join('/', 1 .. 6, 'x.db'),
    'deeper/' . join('/', 1 .. 9, 'x.db'),
    'blog/db.sqlite3.restored-20260131T120000Z';

$t->write_file("$srv/text.db", "SQLite format 4\0" . "x" x 100);
$t->write_file("$srv/short.db", 'SQLite format 3');
$t->write_file("$srv/empty.db", '');
POSIX::mkfifo("$srv/pipe.db", 0666);
symlink "$srv/blog/db.sqlite3", "$srv/link.db";
own($srv);

my ($rc, $out, $err) = cli($t, { cwd => $srv }, 'init');

is("$rc$err", '0', 'here: exit code');
is(databases($out), "db $srv/app/data/db.sqlite3, "
    . "blog-db $srv/blog/db.sqlite3, "
    . "x $srv/deep/1/2/3/4/5/6/x.db, "
    . "a_b_c_ \"$srv/one two/a;b{c}.db\"", 'here: what is found');
like($out, qr/^# to begin with, made by nginx-litestream init from "\Q$srv\E"$/m,
    'here: where from');
like($out, qr/^    litestream_snapshot +retention=7d;$/m, 'retention');
like($out, qr/^    # 8\.0K, of user \Q$user\E\n    litestream_db  db /m,
    'what it is');
like($out, qr/of user \Q$user\E, not in WAL mode yet\n    litestream_db  blog-/,
    'what it is not');
is(accepted($t, $out), 'ok', 'here: nginx accepts it');

is((cli($t, 'init', $srv))[1], $out, 'a directory');

# where the backups go; files and directories

($rc, $out) = cli($t, 'init', '-to', "file://$dir/backup", "$srv/blog",
    "$srv/app/data/db.sqlite3");

is(databases($out), "db $srv/app/data/db.sqlite3, "
    . "blog-db $srv/blog/db.sqlite3", 'files and directories');
like($out, qr!^    litestream_replica +file://\Q$dir\E/backup;$!m,
    'where the backups go');
is(accepted($t, $out), 'ok', 'files and directories: accepted');

like($out, qr!^ +proxy_pass http://127\.0\.0\.1:8000; +# your .+ port$!m,
    'where the application is said');

# and by which parameters

my $s3 = 's3://backups/prod';
my $end = 'endpoint=https://s3.example.com';

for ("$s3 $end region=eu-1", "$s3   $end\tregion=eu-1 ") {
    ($rc, $out) = cli($t, 'init', '-to', $_, "$srv/blog");

    like($out, qr!^    litestream_replica +\Q$s3 $end region=eu-1\E;$!m,
        'parameters');
}

like($out, qr!^    # litestream_env_file +/etc/nginx/litestream\.env;$!m,
    'where its key is said');
is(accepted($t, $out), 'ok', 'parameters: accepted');

($rc, $out, $err) = cli($t, 'init', '-to', "$s3 $end eu-1", "$srv/blog");

is("$rc$out$err", "2nginx-litestream: invalid -to \"$s3 $end eu-1\": what "
    . 'follows the URL must be parameters, such as endpoint=URL or '
    . "region=NAME, not \"eu-1\"\n", 'no parameter');

($rc, $out, $err) = cli($t, 'init', '-to', '/mnt/backup', "$srv/blog");

like("$rc$out$err", qr!^2nginx-litestream: invalid -to "/mnt/backup": say a!,
    'no URL');

($rc, $out) = cli($t, 'init', '-to', "file://$dir/two words", "$srv/blog");
is(accepted($t, $out), 'ok', 'a folder with a blank: accepted');

# a name that all of them have is not an alias

sqlite('app/all.db');
own($srv);
($rc, $out) = cli($t, 'init', "$srv/app/all.db");
is(databases($out), "app-all $srv/app/all.db", 'not an alias');
is(accepted($t, $out), 'ok', 'not an alias: accepted');

# root's

my $root = ($> == 0);

make_path("$dir/root");
sqlite('../root/r.db');

($rc, $out) = cli($t, 'init', "$dir/root");

is($out =~ /^    litestream_user +root;$/m ? 1 : 0, $root ? 1 : 0,
    'all are root\'s');
is(accepted($t, $out), 'ok', 'all are root\'s: accepted');

($rc, $out) = cli($t, 'init', "$dir/root", "$srv/blog");

is(databases($out), ($root ? '' : "r $dir/root/r.db, ")
    . "db $srv/blog/db.sqlite3", 'one is root\'s');
is($out =~ /^    # left out: it is root's, .*\n    # litestream_db  r /m ? 1 : 0,
    $root ? 1 : 0, 'one is root\'s: why it is left out');
is(accepted($t, $out), 'ok', 'one is root\'s: accepted');

# nothing

for ([ "nginx-litestream: no SQLite database is found in \"$srv/empty\"\n",
       "$srv/empty" ],
     [ "nginx-litestream: \"$dir/no\": No such file or directory\n",
       "$dir/no" ],
     [ "nginx-litestream: \"$srv/text.db\" is not a SQLite database, and a "
       . "litestream.yml goes alone\n", "$srv/blog", "$srv/text.db" ],
     [ "nginx-litestream: init -django FILE takes nothing else\n", '-django',
       'manage.py', "$srv/blog" ])
{
    my ($why, @args) = @$_;

    ($rc, $out, $err) = cli($t, 'init', @args);
    is($err, $why, "@args");
    isnt($rc, 0, "@args: exit code");
}

is(join(' ', sort grep { !/^\.\.?$/ } do { opendir my $d, "$srv/blog" or die;
    readdir $d }), 'db.sqlite3 db.sqlite3.restored-20260131T120000Z',
    'nothing is made beside a database');


sub sqlite {
    my ($name, $sql) = @_;

    my ($rc, undef, $err) = $t->command('sqlite3', "$srv/$name",
        ($sql // '') . 'CREATE TABLE t (id);');
    die "$name: $err\n" if $rc;
}


sub own { $t->command('chown', '-R', $user, $_[0]) if $> == 0 }
