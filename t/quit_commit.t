#!/usr/bin/perl

# nginx is told to end right after a commit: the commit is in the replica when
# nginx has ended, whether it was "quit" or "stop".

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/);

my $dir = $t->testdir;

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;
    litestream_db       two %%TESTDIR%%/two/db.sqlite3 sync_interval=10m;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

my %db = map { $_ => $t->db($_, rows => 3) } qw/ app two /;
my $rows = 3;

$t->db_dir('replica');
$t->plan(4 * 8);

for my $how (qw/ quit stop quit stop /) {
    $t->run();

    is($t->waitforstate($_, 'replicating'), 'replicating',
        "$how: $_: replicating") for keys %db;

    my $mark = $t->log_mark;

    # without a pause: nothing else would have seen them in time

    $rows += 5;
    $_->insert(5) for values %db;

    ok($t->$how(), $how);
    is($t->exit_code, 0, "$how: exit code");

    is($db{$_}->restore_count("file://$dir/replica/$_"), $rows,
        "$how: $_: in the replica") for keys %db;

    is(join("\n", $t->read_log(qr/was not synced before the end/, $mark)), '',
        "$how: nothing to complain of");
    is(scalar(my @lines = $t->read_log(qr/supervisor \d+ ends/, $mark)), 1,
        "$how: the supervisor has ended by itself");
}
