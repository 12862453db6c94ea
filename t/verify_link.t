#!/usr/bin/perl

# The state path may be below a symbolic link, and the copy that a verification
# restores is there: it is verified all the same.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(3);

my $dir = $t->testdir;

mkdir "$dir/there" or die "mkdir() failed: $!\n";
chmod 0755, "$dir/there";
symlink 'there', "$dir/link" or die "symlink() failed: $!\n";

$t->state_path("$dir/link/s");

$t->write_file_expand('nginx.conf', <<'EOF');

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

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOF

$t->db('app', rows => 7);
$t->db_dir('replica');
$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

for my $mode (qw/ quick full /) {
    my $r = $t->api("verify/app?mode=$mode", method => 'POST', body => '');

    is($r->{verified}, 1, $mode) or diag($r->{error});
}
