#!/usr/bin/perl

# A reload with a configuration that is refused leaves all as it was.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/);

my $dir = $t->testdir;
my $url = "file://$dir/replica/app";

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
            litestream_api;
        }
    }
}

EOF

my $db = $t->db('app', rows => 3);

$t->db_dir('replica');

my $conf = $t->read_file('nginx.conf');

my @cases = (

[ 'nginx', $conf . "nothing;\n" ],

[ 'litestream_db',
  $conf =~ s/(litestream_db) +app/$1  app nothing=1/r ],

[ 'another replica for the same file',
  $conf =~ s/^( *litestream_db)( +)app(.*)$/$&\n$1$2two$3/mr ],

[ 'litestream_bin', $conf =~ s/litestream_bin \S+;/litestream_bin \/no;/r ],

[ 'removed, and broken', $conf =~ s/^ *litestream_(db|api).*;$//mgr
                         =~ s/^ *load_module.*;$//mr . "nothing;\n" ],

[ 'removed, with the module only', $conf =~ s/^ *load_module.*;$//mr
                                   . "nothing;\n" ],
);

$t->plan(3 * @cases + 8);
$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

my $before = all();

for (@cases) {
    my ($name, $text) = @$_;

    $t->write_file('nginx.conf', $text);

    is($t->reload(), 0, "$name: refused");
    is(all(), $before, "$name: nothing has changed");
    like(http_post('/litestream/sync/app'), qr/"synced":true/,
        "$name: it replicates");
}

# and right again, the same and another one

$t->write_file('nginx.conf', $conf);

is($t->reload(), 1, 'reload');

my @now = ($t->supervisor_pid, $t->litestream_pids);

is("@now", join(' ', (split ' ', $before)[2, 3]),
    'the same supervisor and Litestream');

$t->write_file('nginx.conf',
    $conf =~ s/^( *litestream_db)/litestream_shutdown_timeout 20s;\n$1/mr);

is($t->reload(), 1, 'reload with a change');
ok($t->waituntil(sub {
    my @pids = ($t->supervisor_pids, $t->litestream_pids);
    return @pids == 2 && !grep { $pids[$_] == $now[$_] } 0, 1;
}, 15), 'another supervisor and Litestream');
is($t->waitforstate('app', 'replicating'), 'replicating',
    'replicating again');

$db->insert(2);
ok($t->quit(), 'quit');
is($db->restore_count($url), 5, 'nothing was lost');


sub all {
    my $st = $t->status();

    return join ' ', $t->master_pid, $t->worker_pids, $t->supervisor_pids,
        $t->litestream_pids, $st->{supervisor}{state},
        $st->{supervisor}{restarts}, $st->{litestream}[0]{state},
        $st->{litestream}[0]{restarts}, $st->{databases}[0]{state};
}
