#!/usr/bin/perl

# Reloads under load that change nothing: no request fails, replication does
# not pause, the supervisor and Litestream stay, nothing is leaked.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ fds proc_status /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(15);

my $dir = $t->testdir;
my $url = "file://$dir/replica/app";
my $reloads = 30;

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;
worker_processes 2;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    # a debug log of all the requests would be large
    error_log  %%TESTDIR%%/error.log notice;

    litestream_log  %%TESTDIR%%/litestream.log;

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
$t->write_file('index.html', 'a page');
# sanitizers and valgrind keep what was freed for a while, and their own books

$ENV{ASAN_OPTIONS} .= ':quarantine_size_mb=0:thread_local_quarantine_size_kb=0'
    if $ENV{ASAN_OPTIONS};

my $growth = $ENV{VALGRIND_LOGS} ? 16384 : $ENV{ASAN_OPTIONS} ? 4096 : 400;

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

my $writer = $db->writer(rate => 50);
my $client = $t->run_daemon(\&client);
my $super = $t->supervisor_pid;
my @pids = ($t->master_pid, $super, $t->litestream_pids);
my ($done, %memory, %files) = (0);

for (1 .. $reloads) {
    $done += $t->reload();

    next unless $_ == 5;

    # the first ones make what stays

    $t->waituntil(sub { 2 == $t->worker_pids(all => 1) }, 20);
    remember() for 1 .. 5;
}

is($done, $reloads, 'reloads');
is(join(' ', $t->master_pid, $t->supervisor_pids, $t->litestream_pids), "@pids",
    'the same processes');

# until all old workers have gone

ok($t->waituntil(sub { 2 == $t->worker_pids(all => 1) }, 20), 'two workers');

my %before = (memory => { %memory }, files => { %files });

%files = ();

for my $who (qw/ supervisor master /) {
    ok($t->waituntil(sub {
        remember();
        return $files{$who} <= $before{files}{$who};
    }), "$who: descriptors") or diag("$before{files}{$who}, $files{$who}");

    cmp_ok($memory{$who}, '<=', $before{memory}{$who} + $growth,
        "$who: memory, kB");
}

my $status = $t->status();

is($status->{supervisor}{restarts}, 0, 'restarts of the supervisor');
is($status->{litestream}[0]{restarts}, 0, 'restarts of Litestream');

$t->stop_daemon($client);

my ($good, $bad) = split ' ', $t->read_file('client');

cmp_ok($good, '>=', 2 * $reloads, 'requests');
is($bad, 0, 'failed ones');

my @acked = $writer->stop;

cmp_ok(scalar @acked, '>', $reloads, 'commits');
ok($t->quit(), 'quit');
is(join(' ', $writer->lost(scalar $db->restore($url), @acked)), '',
    'none was lost');


# descriptors: the least that is seen, since answers of Litestream come and go

sub remember {
    my %pids = (supervisor => $super, master => $t->master_pid);

    for (keys %pids) {
        $memory{$_} = proc_status($pids{$_})->{RssAnon} =~ s/ kB//r;

        my $n = fds($pids{$_});
        $files{$_} = $n if $n < ($files{$_} // 1000);
    }

    select undef, undef, undef, 0.03;
}


sub client {
    my ($good, $bad, $stop) = (0, 0, 0);

    local $SIG{TERM} = sub { $stop = 1 };

    until ($stop) {
        for my $uri ('/index.html', '/litestream/ready') {
            my $r = response(http_get($uri));
            $r->{status} == 200 ? $good++ : $bad++;
        }

        select undef, undef, undef, 0.005;
    }

    $t->write_file('client', "$good $bad");
}
