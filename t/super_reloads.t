#!/usr/bin/perl

# Reloads that follow one another faster than one supervisor hands over to the
# next: in the end there is one, and it has the last configuration.  The last
# reload has another litestream_state_path.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $rounds = 6;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan($rounds + 4);

my $dir = $t->testdir;
my $db = $t->db('app', rows => 3);

$t->db_dir('replica');

my $n = 20;

conf();

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicated');

for my $round (1 .. $rounds) {
    for (1 .. 3) {
        conf();
        $t->signal('HUP');
        select undef, undef, undef, 0.07 * ($_ + $round % 4);
    }

    ok($t->waituntil(sub { settled() }, 20), "round $round")
        or diag(join ' ', $t->supervisor_pids, ':', $t->litestream_pids);
}

$t->state_path("$dir/other");

conf();

$t->signal('HUP');

ok($t->waituntil(sub { settled() }, 20), 'another state path');
is($t->waitforstate('app', 'replicating'), 'replicating', 'replicated there');

$db->insert;

ok($t->waituntil(sub {
    $db->restore_count("file://$dir/replica/app") == 4
}), 'all is there');


# each time with another value, so that the supervisor has to be changed

sub conf {
    $n++;

    $t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_shutdown_timeout ${n}s;
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
}


sub settled {
    my $yml = (glob $t->state_path . '/*/litestream.yml')[0] // return 0;
    my $text = $t->read_file($yml) // '';
    my $left = $n - 1;

    return (my @s = $t->supervisor_pids) == 1
        && (my @l = $t->litestream_pids) == 1
        && (my @w = $t->worker_pids(all => 1)) == 1
        && $text =~ /^shutdown-sync-timeout: ${left}s$/m;
}
