#!/usr/bin/perl

# A Litestream that somebody else has started, such as that of a unit which was
# forgotten, replicates a database: it is named, no second one is started for
# that database, the others are replicated; when it has ended, replication goes
# on by itself, with the same backup, and nothing is lost.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Command qw/ become /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(19);

my $dir = $t->testdir;
my $url = "file://$dir/replica/app";
my $user = ($t->user)[0];

my $db = $t->db('app', rows => 3);
my $next = $t->db('next', rows => 3);
$t->db_dir('replica');

$t->write_file('litestream.yml', <<"EOF");
dbs:
  - path: ${\ $db->path }
    replica: {path: $dir/replica/app}
EOF
chmod 0644, "$dir/litestream.yml";

$t->write_file_expand('nginx.conf', <<'EOC');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;
    litestream_db       next %%TESTDIR%%/next/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api write=on;
        }
    }
}

EOC

for my $who ($user, 'root') {

    # a unit runs as root, mostly; tests of a plain user have one user only

    my $pid = other($who);

    ok($t->waituntil(sub { $db->locked($pid) }, 20), "$who: it replicates");

    $t->run();

    is($t->waitforstate('app', 'error'), 'error', "$who: an error");
    like($t->database('app')->{error}, qr/another Litestream, process $pid,/,
        "$who: which one");
    is($t->waitforstate('next', 'replicating'), 'replicating',
        "$who: the other database");

    my ($own) = $t->litestream_pids;
    my $yml = $own ? join('', map { $t->read_file($_) }
        glob $t->state_path . '/*/litestream.yml') : '';
    unlike($yml, qr!app/db\.sqlite3!, "$who: no second one");

    my $n = $db->insert(2);

    is($t->stop_daemon($pid), 0, "$who: it ends");
    is($t->waitforstate('app', 'replicating', 60), 'replicating',
        "$who: replicating by itself");
    is($t->api('sync/app', method => 'POST')->{synced} ? 1 : 0, 1,
        "$who: synced");
    is($db->restore_count($url), $n, "$who: all rows");

    $t->quit();
}

is($db->integrity, 'ok', 'the database');


sub other {
    my ($who) = @_;

    my $bin = $t->litestream;

    return $t->run_daemon(sub {
        become($who);
        exec $bin, 'replicate', '-config', "$dir/litestream.yml";
    });
}
