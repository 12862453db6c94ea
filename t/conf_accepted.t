#!/usr/bin/perl

# Configurations that are right: the order of directives never matters, users
# may be numbers, paths may lead through links.

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

$t->db('app');
$t->db_dir('two');
$t->db_dir('replica');
symlink "$dir/app", "$dir/link";

my $long = 'x' x 63;

my @cases = (

[ 'the replica before', <<'EOF' ],
litestream_replica file://%%TESTDIR%%/replica;
litestream_db one %%TESTDIR%%/app/db.sqlite3;
EOF

[ 'the replica after', <<'EOF' ],
litestream_db one %%TESTDIR%%/app/db.sqlite3;
litestream_replica file://%%TESTDIR%%/replica;
EOF

[ 'the user after', <<'EOF' ],
litestream_db one %%TESTDIR%%/two/no.sqlite3;
litestream_user %%USER%% %%GROUP%%;
litestream_replica file://%%TESTDIR%%/replica;
EOF

[ 'two databases', <<'EOF' ],
litestream_replica file://%%TESTDIR%%/replica;
litestream_db one %%TESTDIR%%/app/db.sqlite3;
litestream_db two %%TESTDIR%%/two/db.sqlite3;
EOF

[ '$alias and $file', <<'EOF' ],
litestream_replica file://%%TESTDIR%%/replica/$alias/$file/x;
litestream_db one %%TESTDIR%%/app/db.sqlite3;
litestream_db two %%TESTDIR%%/two/db.sqlite3;
EOF

[ 'replicas that begin alike', <<'EOF' ],
litestream_db one %%TESTDIR%%/app/a replica=file://%%TESTDIR%%/replica/x;
litestream_db two %%TESTDIR%%/app/b replica=file://%%TESTDIR%%/replica/xy;
EOF

[ 'through a link', <<'EOF' ],
litestream_replica file://%%TESTDIR%%/replica;
litestream_db one %%TESTDIR%%/link/db.sqlite3;
EOF

[ 'no database', '' ],

(map { [ "alias $_", <<EOF ] } 'a', '0', '-', '.x', 'A.b_c-9', $long),
litestream_replica file://%%TESTDIR%%/replica;
litestream_db $_ %%TESTDIR%%/app/db.sqlite3;
EOF

(map { [ $_, <<EOF ] }
litestream_replica file://%%TESTDIR%%/replica;
litestream_db one %%TESTDIR%%/app/db.sqlite3 $_;
EOF
    'restore=if_backup', 'restore=required', 'restore=off',
    'sync_interval=500ms', 'sync_interval=1m', 'sync_interval=10',
    'checkpoint_interval=5m', 'busy_timeout=2s',
    'min_checkpoint_page_count=500', 'mode=0600', 'mode=640',
    'owner=%%USER%%', 'owner=%%USER%%:%%GROUP%%', "owner=$uid:$gid",
    'restore=required mode=0600'),

(map { [ $_, <<EOF ] }
litestream_replica file://%%TESTDIR%%/replica;
litestream_db one %%TESTDIR%%/app/db.sqlite3;
$_;
EOF
    'litestream_user %%USER%%', "litestream_user $uid",
    "litestream_user $uid $gid", 'litestream_restore blocking',
    'litestream_restore background timeout=5m concurrency=1',
    'litestream_restore blocking integrity_check=full',
    'litestream_restore blocking integrity_check=none',
    'litestream_shutdown_timeout 1m', 'litestream_log %%TESTDIR%%/l.log',
    'litestream_log %%TESTDIR%%/l.log warn', 'litestream_log -'),

);

$t->plan(scalar @cases);

for (@cases) {
    my ($name, $text) = @$_;

    $t->write_file_expand('nginx.conf', <<EOF);
%%TEST_GLOBALS%%
daemon off;
events { }
http {
    %%TEST_GLOBALS_HTTP%%
$text
    server {
        listen 127.0.0.1:8080;
        location /litestream/ { litestream_api; }
    }
}
EOF

    my ($rc, $out) = $t->conf_test();

    is($rc, 0, $name) or diag($out);
}
