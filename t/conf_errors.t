#!/usr/bin/perl

# Configurations that are refused: a start and "nginx -t" both say why, with
# file and line, and neither leaves anything behind.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/);

my $dir = $t->testdir;
my ($user, $group, $uid, $gid) = $t->user;
my $bin = $t->litestream_bin;

$t->db('app');
$t->db_dir('two');
$t->db_dir('closed', mode => 0555);
$t->db_dir('shut');
mkdir "$dir/shut/in";
chown $uid, $gid, "$dir/shut/in" if $> == 0;
chmod 0600, "$dir/shut";
$t->db_dir('replica');

mkdir "$dir/plain";
symlink "$dir/app", "$dir/link";
symlink "$dir/app/db.sqlite3", "$dir/two/link.sqlite3";
$t->write_file('script', "#!/bin/sh\n");

my $long = "$dir/" . 'x' x (100 - length $dir);

# name, what stands in http{}, what the message has to say; the line that is
# to blame ends with "#!"

my @cases = (

# aliases

[ 'alias twice', <<'EOF', qr/"one"/, qr/twice|duplicate|already/ ],
litestream_db one %%TESTDIR%%/app/a.sqlite3;
litestream_db one %%TESTDIR%%/app/b.sqlite3; #!
EOF

(map {
    [ "alias \"$_\"", "litestream_db \"$_\" %%TESTDIR%%/app/a.sqlite3; #!",
      qr/alias/ ]
} '', 'a b', 'a/b', 'a:b', "\xc3\xa4", 'x' x 64),

# paths

[ 'path twice', <<'EOF', qr/twice|duplicate|already|same/ ],
litestream_db one %%TESTDIR%%/app/a.sqlite3;
litestream_db two %%TESTDIR%%/app/a.sqlite3; #!
EOF

[ 'path twice, through ..', <<'EOF', qr/twice|duplicate|already|same/ ],
litestream_db one %%TESTDIR%%/app/a.sqlite3;
litestream_db two %%TESTDIR%%/two/..//app/./a.sqlite3; #!
EOF

[ 'path twice, through a linked directory', <<'EOF',
litestream_db one %%TESTDIR%%/app/a.sqlite3;
litestream_db two %%TESTDIR%%/link/a.sqlite3; #!
EOF
  qr/twice|duplicate|already|same/ ],

[ 'path twice, through a linked file', <<'EOF',
litestream_db one %%TESTDIR%%/app/db.sqlite3;
litestream_db two %%TESTDIR%%/two/link.sqlite3; #!
EOF
  qr/twice|duplicate|already|same/ ],

[ 'relative path', 'litestream_db one db.sqlite3; #!',
  qr/db\.sqlite3/, qr/absolute|relative/ ],

[ 'a directory', 'litestream_db one %%TESTDIR%%/app; #!',
  qr/is a directory/ ],

[ 'no parent directory', <<'EOF',
litestream_user %%USER%% %%GROUP%%;
litestream_db one %%TESTDIR%%/no/db.sqlite3; #!
EOF
  qr!install -d.* $dir/no\b!, qr/-o "?(\Q$user\E|$uid)\b/ ],

[ 'directory that its user cannot write to',
  'litestream_db one %%TESTDIR%%/closed/db.sqlite3; #!',
  qr!$dir/closed\b!, qr/\b(\Q$user\E|$uid)\b/, qr/writ|[Pp]ermission/ ],

[ 'directory that its user cannot enter', <<'EOF',
litestream_user %%USER%%;
litestream_db one %%TESTDIR%%/shut/in/db.sqlite3; #!
EOF
  qr!$dir/shut"?(?\!/in)!, qr/\b(\Q$user\E|$uid)\b/ ],

# users

($> ? () : (
    [ 'root is not guessed', 'litestream_db one %%TESTDIR%%/plain/a; #!',
      qr/litestream_user/, qr/root/ ],
)),

[ 'unknown user', <<'EOF', qr/no-such-user/ ],
litestream_user no-such-user; #!
litestream_db one %%TESTDIR%%/app/a.sqlite3;
EOF

[ 'unknown group', <<'EOF', qr/no-such-group/ ],
litestream_user %%USER%% no-such-group; #!
litestream_db one %%TESTDIR%%/app/a.sqlite3;
EOF

(map { parameter("owner=$_", qr/no-such/) }
    'no-such-user', "$user:no-such-group"),

# parameters

# the name alone is in the message: the value may be a URL with a password

(map { my ($name, $say) = @$_;
        parameter("$name=v3rysecret",
            qr/invalid parameter "$name"$say in (?!.*v3ry)/) }
    [ 'unknown', qr// ],
    [ 'replicas', qr/, did you mean "replica"\?/ ],
    [ 'sync-interval', qr/, did you mean "sync_interval"\?/ ],
    [ 'busy_timout', qr/, did you mean "busy_timeout"\?/ ],
    [ 'monitor-interval', qr/, "sync_interval" sets it, too/ ],
    [ 'restore_if_db_not_exists', qr/, say "restore=if_backup".*/ ],
    [ 'truncate_page_n', qr/, say it in a "litestream_base_config"/ ]),
(map { parameter($_, qr/"?\Q$_\E"?/) }
    'extra', 'restore=perhaps', 'restore=',
    'sync_interval=abc', 'sync_interval=0',
    'sync_interval=-1s', 'sync_interval=', 'sync_interval=1x',
    'busy_timeout=soon', 'checkpoint_interval=?',
    'min_checkpoint_page_count=many', 'mode=999', 'mode=rw'),

(map { directive($_, qr/"?\Q@{[ (split ' ')[-1] ]}\E"?/) }
    'litestream_restore perhaps', 'litestream_restore blocking unknown=1',
    'litestream_restore blocking timeout=long',
    'litestream_restore blocking concurrency=0',
    'litestream_restore blocking concurrency=x',
    'litestream_restore blocking integrity_check=some'),

directive('litestream_shutdown_timeout long', qr/invalid value|"long"/),

# replicas

(map { replica($_, qr/scheme|\Q$_\E/) } 'ftp://host/x', '/x', 'x', ''),

replica("file://$dir/replica?x=1", qr/query|\?/),
replica('file://relative/x', qr/absolute|relative|host|\/\/relative/),

[ 'unknown parameter of a replica', <<'EOF', qr/"unknown/ ],
litestream_replica file://%%TESTDIR%%/replica unknown=1; #!
litestream_db one %%TESTDIR%%/app/a.sqlite3;
EOF

[ 'no replica', 'litestream_db one %%TESTDIR%%/app/a.sqlite3; #!',
  qr/replica/, qr/one/, { replica => 'none' } ],

(map {
    [ "one replica for two databases: $_", <<EOF, qr/one/, qr/two/,
litestream_db one %%TESTDIR%%/app/a replica=file://%%TESTDIR%%/replica/x;
litestream_db two %%TESTDIR%%/app/b replica=file://%%TESTDIR%%/replica/$_; #!
EOF
      qr/replica/ ]
} 'x', 'x/', './x', 'y/../x', 'x/inside', ''),

[ 'one replica for two databases: $file', <<'EOF',
litestream_replica file://%%TESTDIR%%/replica/$file;
litestream_db one %%TESTDIR%%/app/a;
litestream_db two %%TESTDIR%%/two/a; #!
EOF
  qr/one/, qr/two/, qr/replica/ ],

# all of it

[ 'directive twice', <<'EOF', qr/duplicate/ ],
litestream_shutdown_timeout 1s;
litestream_shutdown_timeout 1s; #!
EOF

(map { my ($db, @say) = @$_; [ "litestream_api db=$db", <<EOF, @say ] }
litestream_db one %%TESTDIR%%/app/a.sqlite3;
litestream_db two %%TESTDIR%%/app/b.sqlite3;
server {
    listen 127.0.0.1:8081;
    location / {
        litestream_api db=$db; #!
    }
}
EOF
    [ 'one,three', qr/unknown database "three"/ ],
    [ 'one,two,one', qr/database "one" is duplicate/ ]),

[ 'no master', 'litestream_db one %%TESTDIR%%/app/a.sqlite3;',
  qr/master_process/, { main => 'master_process off;' } ],

[ 'no binary', 'litestream_db one %%TESTDIR%%/app/a.sqlite3;',
  qr!$dir/no-such-file!, { bin => "$dir/no-such-file" } ],

[ 'binary that cannot be executed',
  'litestream_db one %%TESTDIR%%/app/a.sqlite3;',
  qr!$dir/script!, { bin => "$dir/script" } ],

[ 'binary that is a directory',
  'litestream_db one %%TESTDIR%%/app/a.sqlite3;',
  qr!$dir/app!, { bin => "$dir/app" } ],

[ 'path of the socket over 107 bytes',
  'litestream_db one %%TESTDIR%%/app/a.sqlite3;',
  qr/107|too long/, { state => $long } ],

);

$t->plan(5 * @cases);

for (@cases) {
    my ($name, $text, @say) = @$_;
    my $opt = ref $say[-1] eq 'HASH' ? pop @say : {};

    configure($text, $opt);

    my $where = $text =~ /#!/ ? $t->line_of(qr/#!/)
        : $opt->{bin} ? $t->line_of(qr/litestream_bin/) : qr/\d+/;

    my $before = tree();
    my ($rc, $err) = $t->try_run(ceiling => 5);

    is($rc, 1, "$name: refused");
    is(join(' ', grep { $err !~ /\[emerg\].*$_/ } @say), '',
        "$name: the reason") or diag($err);
    like($err, qr/\[emerg\].* in \S*nginx\.conf:$where\b/, "$name: the place");

    $t->stop() unless $rc;

    ($rc, my $tested) = $t->conf_test();

    ok($rc == 1 && emerg($tested) eq emerg($err),
        "$name: nginx -t says the same") or diag($tested);
    is_deeply(tree(), $before, "$name: no trace");
}


# a parameter of litestream_db

sub parameter {
    my ($parameter, @say) = @_;

    return [ $parameter, <<EOF, @say ];
litestream_replica file://%%TESTDIR%%/replica;
litestream_db one %%TESTDIR%%/app/a.sqlite3 $parameter; #!
EOF
}


sub directive {
    my ($directive, @say) = @_;

    return [ $directive, <<EOF, @say ];
litestream_replica file://%%TESTDIR%%/replica;
$directive; #!
litestream_db one %%TESTDIR%%/app/a.sqlite3;
EOF
}


sub replica {
    my ($url, @say) = @_;

    return [ "replica \"$url\"", <<EOF, @say ];
litestream_db one %%TESTDIR%%/app/a.sqlite3 "replica=$url"; #!
EOF
}


# a replica for those that are not about it

sub configure {
    my ($text, $opt) = @_;

    $text = "litestream_replica file://%%TESTDIR%%/replica;\n$text"
        unless $opt->{replica} || $text =~ /litestream_replica|replica=/;

    $t->litestream_bin($opt->{bin} // $bin);
    $t->state_path($opt->{state} // "$dir/s");

    my $main = $opt->{main} // '';

    $t->write_file_expand('nginx.conf', <<EOF);
%%TEST_GLOBALS%%
daemon off;
$main
events { }
http {
    %%TEST_GLOBALS_HTTP%%
$text
    server {
        listen 127.0.0.1:8080;
    }
}
EOF
}


# nginx itself makes its logs, the pid file and folders for temporary files

sub tree {
    my $tree = $t->tree;

    my $own = qr!/(\w+\.log|nginx\.pid|nginx\.conf|\w+_temp)(/|$)!;
    delete @$tree{ grep { /^\Q$dir\E$own/ } keys %$tree };

    return $tree;
}


sub emerg { return join "\n", $_[0] =~ /\[emerg\] (.*)/g }
