#!/usr/bin/perl

# A database that does not exist yet has no WAL to be guarded: Litestream is
# started nevertheless, each time, and at once.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(5);

my $dir = $t->testdir;

$t->db_dir('app');
$t->db_dir('replica');

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica file://%%TESTDIR%%/replica;
    litestream_db app %%TESTDIR%%/app/db.sqlite3;

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

$t->run();

is($t->waitforstate('app', 'new'), 'new', 'nothing there');

# reloads start another Litestream without the pauses of one that is killed

my $n = 0;

for my $sync (2 .. 16) {
    my ($old) = litestream();

    $t->write_file('nginx.conf', $t->read_file('nginx.conf')
        =~ s/db\.sqlite3.*;/db.sqlite3 sync_interval=${sync}s;/r);
    $t->reload();

    $n += !!$t->waituntil(sub { (litestream())[0] != $old });
}

is($n, 15, 'another Litestream each time');
is(join("\n", $t->read_log(qr/could not be guarded/)), '', 'no attempt failed');

my $db = Test::Litestream::DB->new("$dir/app/db.sqlite3");

$db->sql('CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);');
$db->insert(1);

ok($t->waituntil(sub {
    $db->restore_count("file://$dir/replica/app") == 1
}), 'the first commit is replicated');
ok($t->quit(), 'quit');


sub litestream {
    my @pids = $t->waituntil(sub { scalar(my @p = $t->litestream_pids) })
        ? $t->litestream_pids : ();
    return $pids[-1] // 0;
}
