#!/usr/bin/perl

# Reloads that change the configuration: each time another supervisor and
# another Litestream take over.  There are never two Litestreams on the
# database, it is always ready, and no commit is lost.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ alive cmdline /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(13);

my $dir = $t->testdir;
my $url = "file://$dir/replica/app";
my $reloads = 20;

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    # a debug log of all the requests would be large
    error_log  %%TESTDIR%%/error.log notice;

    litestream_shutdown_timeout  30s;

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
$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

my $conf = $t->read_file('nginx.conf');
my $writer = $db->writer(rate => 50);
my $watcher = $t->run_daemon(\&watch);
my $client = $t->run_daemon(\&client);
my $master = $t->master_pid;

my ($done, $came) = (0, 0);
my %seen = map { $_ => 1 } $t->supervisor_pid, $t->litestream_pids;

for my $n (1 .. $reloads) {
    my $s = 30 + $n;

    $t->write_file('nginx.conf', $conf =~ s/_timeout  30s/_timeout  ${s}s/r);
    $done += $t->reload();

    $came++ if $t->waituntil(sub {
        my $st = $t->status() // return 0;
        my ($super, $pid) = ($st->{supervisor}{pid}, $st->{litestream}[0]{pid});

        return 0 unless $super && $pid && !$seen{$super} && !$seen{$pid}
                        && $st->{databases}[0]{state} eq 'replicating';

        return $seen{$super} = $seen{$pid} = 1;
    }, 20, 0.05);
}

is($done, $reloads, 'reloads');
is($came, $reloads, 'each time another supervisor and Litestream');
is($t->master_pid, $master, 'the same master');
ok($t->waituntil(sub { 1 == $t->supervisor_pids }), 'one supervisor is left');
is($t->status()->{supervisor}{restarts}, 0,
    'a hand-over is not a restart of the supervisor');
is($t->status()->{litestream}[0]{restarts}, 0, 'nor one of Litestream');

$t->stop_daemon($client);
$t->stop_daemon($watcher);

my ($looks, $most) = split ' ', $t->read_file('watcher');
my ($good, $bad) = split ' ', $t->read_file('client');

cmp_ok($looks, '>', 2 * $reloads, 'looks');
is($most, 1, 'never two Litestreams');
cmp_ok($good, '>', $reloads, 'ready');
is($bad, 0, 'always');

my @acked = $writer->stop;

ok($t->quit(), 'quit');
is(join(' ', $writer->lost(scalar $db->restore($url), @acked)), '',
    scalar(@acked) . ' commits, none was lost');


sub watch {
    my ($looks, $most, $stop) = (0, 0, 0);

    local $SIG{TERM} = sub { $stop = 1 };

    until ($stop) {
        opendir my $d, '/proc' or die "opendir(/proc) failed: $!\n";

        my @pids = grep {
            cmdline($_) =~ /litestream replicate .*\Q$dir\E/ && alive($_)
        } grep { /^\d+$/ } readdir $d;

        # a look takes a while: both must be there at its end

        @pids = grep { alive($_) } @pids if @pids > 1;

        $looks++;
        $most = @pids if @pids > $most;

        select undef, undef, undef, 0.03;
    }

    $t->write_file('watcher', "$looks $most");
}


sub client {
    my ($good, $bad, $stop) = (0, 0, 0);

    local $SIG{TERM} = sub { $stop = 1 };

    until ($stop) {
        http_get('/litestream/ready') =~ / 200 .*"ready":true/s ? $good++
                                                                : $bad++;
        select undef, undef, undef, 0.02;
    }

    $t->write_file('client', "$good $bad");
}
