#!/usr/bin/perl

# Directories of databases in the configuration: what is refused, with file and
# line, and what is shown of them.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)->has_daemon(qw/litestream/);

my $dir = $t->testdir;
my ($user) = $t->user;

$t->db_dir($_) for 't', 't/a#b', 'replica';

symlink 't', "$dir/link";
mkdir "$dir/plain";
mkdir "$dir/shut";
chmod 0700, "$dir/shut";
$t->write_file('file', '');

my $replica = 'litestream_replica file://%%TESTDIR%%/replica;';
my $many = join '/', ('*') x 33;

# name, what stands in http{}, what the message says; "#!" marks the line

my @cases = (

[ 'no root', "$replica\nlitestream_db t /*/x.db; #!", qr/at its beginning/ ],
[ 'no names', "$replica\nlitestream_db t %%TESTDIR%%/t/**; #!",
  qr/names of the files/ ],
[ 'a directory', "$replica\nlitestream_db t %%TESTDIR%%/t/*/; #!",
  qr/names of the files/ ],
[ 'two stars in a name', "$replica\nlitestream_db t %%TESTDIR%%/t/a**/x; #!",
  qr/"\*\*" that is not a directory/ ],
[ 'a step back', "$replica\nlitestream_db t %%TESTDIR%%/t/*/../x; #!",
  qr/"\.\." after a "\*"/ ],
[ 'too many', "$replica\nlitestream_db t %%TESTDIR%%/t/$many; #!",
  qr/too many directories/ ],
[ 'relative', "$replica\nlitestream_db t t/*.db; #!", qr/must be absolute/ ],
[ 'no such directory', "litestream_user $user;\n$replica\n"
  . 'litestream_db t %%TESTDIR%%/no/*.db; #!',
  qr!does not exist, make it: install -d .* $dir/no\b! ],
[ 'a file', "$replica\nlitestream_db t %%TESTDIR%%/file/*.db; #!",
  qr/is not a directory|Not a directory/ ],
[ 'twice', "$replica\nlitestream_db a %%TESTDIR%%/t/*.db;\n"
  . 'litestream_db b %%TESTDIR%%/t/../t/*.db; #!', qr/duplicate.*"a"/ ],
[ 'alias twice', "$replica\nlitestream_db a %%TESTDIR%%/t/*.db;\n"
  . 'litestream_db a %%TESTDIR%%/t/*.sqlite; #!', qr/"a" is duplicate/ ],
[ 'a URI', "$replica\nlitestream_db t \"%%TESTDIR%%/t/a#b/*.db\"; #!",
  qr/"#" or "%" in it/ ],

[ 'one replica for all', 'litestream_db t %%TESTDIR%%/t/*.db '
  . 'replica=file://%%TESTDIR%%/replica; #!', qr/that of all databases/ ],
[ 'an unknown variable', 'litestream_db t %%TESTDIR%%/t/*.db '
  . 'replica=file://%%TESTDIR%%/replica/$name; #!', qr/unknown variable/ ],
[ 'a bucket for each', 'litestream_db t %%TESTDIR%%/t/*.db '
  . 'replica=nats://127.0.0.1/$file; #!', qr/nats/ ],
[ 'no replica', 'litestream_db t %%TESTDIR%%/t/*.db; #!', qr/no replica/ ],
[ 'a parameter', "$replica\nlitestream_db t %%TESTDIR%%/t/*.db restore=x; #!",
  qr/invalid parameter "restore=x"/ ],

# regular expressions

[ 'no regex', "$replica\nlitestream_db t \"~^%%TESTDIR%%/t/(a\"; #!",
  qr/database "t": pcre2?_compile\(\) failed/ ],
[ 'not anchored', "$replica\nlitestream_db t ~%%TESTDIR%%/t/a; #!",
  qr/must begin with "~\^\/", and a directory/ ],
[ 'no root of a regex', "$replica\nlitestream_db t ~^/.*\\.db\$; #!",
  qr/must begin with "~\^\/", and a directory/ ],
[ 'an alternative to its root',
  "$replica\nlitestream_db t ~^%%TESTDIR%%/t/a|^/b; #!",
  qr/a "\|" that is not inside of parentheses/ ],
[ 'a group twice',
  "$replica\nlitestream_db t \"~^%%TESTDIR%%/t/(?<n>a)(?<n>b)\"; #!",
  qr/two named subpatterns have the same name/ ],
[ 'an unknown group', 'litestream_db t "~^%%TESTDIR%%/t/(?<name>a)" '
  . 'replica=file://%%TESTDIR%%/replica/$nam; #!',
  qr/unknown variable "\$nam" in replica .* the named groups of the path/ ],
[ 'a group of a number', 'litestream_db t "~^%%TESTDIR%%/t/(a)" '
  . 'replica=file://%%TESTDIR%%/replica/$1; #!', qr/unknown variable/ ],
[ 'no group in the replica', 'litestream_db t "~^%%TESTDIR%%/t/(?<name>a)" '
  . 'replica=file://%%TESTDIR%%/replica; #!', qr/that of all databases/ ],
[ 'a group that is a variable',
  "$replica\nlitestream_db t \"~^%%TESTDIR%%/t/(?<file>a)\"; #!",
  qr/group of the name "file", but \$file in replicas is something else/ ],
[ 'a link', "$replica\nlitestream_db t ~^%%TESTDIR%%/link/a; #!",
  qr!begins with "$dir/link", which is "$dir/t"! ],

$> ? () : (
  [ 'root is not guessed', "$replica\nlitestream_db t %%TESTDIR%%/plain/*.db;"
    . ' #!', qr/owned by root/ ],
  [ 'not readable', "litestream_user $user;\n$replica\n"
    . 'litestream_db t %%TESTDIR%%/shut/*.db; #!', qr/permission denied/ ],
),

# beside each other

[ 'in the API', "$replica\nlitestream_db t %%TESTDIR%%/t/*.db;\n"
  . 'server { location / { litestream_api db=t/a.db; } } #!',
  qr/unknown database "t\/a\.db"/ ],
);

$t->plan(3 * @cases + 7);

for (@cases) {
    my ($name, $http, $re) = @$_;

    conf($http);

    my $line = $t->line_of('#!');
    my ($rc, $out) = $t->conf_test();

    isnt($rc, 0, "$name: refused");
    like($out, $re, "$name: why");
    like($out, qr/ in \S+nginx\.conf:$line\b/, "$name: where");
}

# what is shown

conf(<<'EOF');
    litestream_replica file://%%TESTDIR%%/replica;
    litestream_db one %%TESTDIR%%/t/one.db;
    litestream_db t %%TESTDIR%%/t/**/*.db busy_timeout=7s;
    litestream_db u %%TESTDIR%%/t/*/u.db replica=file://%%TESTDIR%%/r/$file/x;
    litestream_db v %%TESTDIR%%/t/v*.db replica=file://%%TESTDIR%%/w/$alias;
    server { location / { litestream_api db=t,one; } }
EOF

my ($rc, $out) = $t->nginx('-T');

is($rc, 0, 'accepted') or diag($out);
like($out, qr!path: "$dir/t/\*\*/\*\.db"!, 'shown: a directory');
like($out, qr!busy-timeout: 7s!, 'shown: its parameters');
like($out, qr!path: "$dir/replica/t/\\x24file"!, 'shown: its replicas');
like($out, qr!path: "$dir/r/\\x24file/x"!, 'shown: a replica of its own');
like($out, qr!path: "$dir/w/v/\\x24file"!, 'shown: an alias in it');
like($out, qr!path: "$dir/t/one\.db"!, 'shown: a database');


sub conf {
    my ($http) = @_;

    $t->write_file_expand('nginx.conf', <<"EOF");
%%TEST_GLOBALS%%
daemon off;
events {
}
http {
    %%TEST_GLOBALS_HTTP%%
$http
}
EOF
}
