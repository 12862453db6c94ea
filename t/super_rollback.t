#!/usr/bin/perl

# An upgrade that is rolled back: the new master ends although workers of the
# old one use its supervisor, and the old one's takes over again.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ alive /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(8);

my $dir = $t->testdir;
my $db = $t->db('app', rows => 3);

$t->db_dir('replica');

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

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

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicated');

my $old = $t->master_pid;
my $new = $t->upgrade;

ok($new, 'upgrade');
ok($t->waituntil(sub { pids($new) == 1 && pids($old) == 0 }),
    'the new binary has Litestream');

$db->insert;
$t->signal('QUIT', $new);

ok($t->waituntil(sub { !alive($new) }, 20), 'the new master has ended');
is($db->restore_count("file://$dir/replica/app"), 4, 'with a last sync');

$db->insert;

ok($t->waituntil(sub { pids($old) == 1 }, 20),
    'the old binary has Litestream again');
is($t->waitforstate('app', 'replicating'), 'replicating', 'replicated again');
ok($t->waituntil(sub {
    $db->restore_count("file://$dir/replica/app") == 5
}), 'all is there');


sub pids { return scalar(my @p = $t->litestream_pids(master => $_[0])) }
