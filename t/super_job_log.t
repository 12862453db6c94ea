#!/usr/bin/perl

# Jobs have closed the logs, and open databases with the numbers of those
# descriptors: no line of a log may ever get into a database.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ slurp /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(13)
    ->expect_alerts(qr/litestream supervisor process \d+ exited on signal 9/);

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

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOF

my $db = $t->db('app', rows => 3);
$t->db_dir('replica');

$t->run();

for my $n (0 .. 2) {

    if ($n) {
        my $pid = $t->supervisor_pid;
        $t->signal('KILL', $pid);
        $t->waituntil(sub {
            my $now = ($t->status() // {})->{supervisor}{pid};
            return $now && $now != $pid;
        });
    }

    is($t->waitforstate('app', 'replicating'), 'replicating',
        "supervisor $n: replicating");
    like(http_post('/litestream/verify/app'), qr/"verified":true/,
        "supervisor $n: verified");

    my @bad = grep { (slurp($_) // '') =~ m!\d{4}/\d\d/\d\d [\d:]{8} \[! }
        $db->files, glob($db->meta . '/ltx/*/*');

    is("@bad", '', "supervisor $n: no line of a log in a database");
    is($db->integrity, 'ok', "supervisor $n: integrity");
}

ok($t->quit(), 'quit');
