#!/usr/bin/perl

# Reloads with changes that come faster than a hand-over takes, also while a
# request is in flight: the last configuration wins, one supervisor is left,
# and no commit is lost.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http proxy/)
    ->has_daemon(qw/litestream sqlite3/)->plan(16);

my $dir = $t->testdir;
my $url = "file://$dir/replica/app";

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_shutdown_timeout  30s;

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /slow {
        proxy_pass  http://127.0.0.1:8081;
        }

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

my $db = $t->db('app', rows => 3);

$t->db_dir('replica');
$t->db('two', rows => 4);

# never answers

$t->run_daemon(sub {
    my $listen = IO::Socket::INET->new(LocalPort => port(8081),
        LocalAddr => '127.0.0.1', Listen => 50, ReuseAddr => 1)
        or die "socket: $!\n";
    my @kept;

    push @kept, $listen->accept while 1;
});

$t->waitforsocket('127.0.0.1:' . port(8081));
$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

my $conf = $t->read_file('nginx.conf');
my $writer = $db->writer(rate => 50);
my $n = 30;

# each worker, the new ones, too, may have such a request

my @slow;

for my $pause (0.15, 0.3, 0.02) {

    for (1 .. 3) {
        push @slow, http_get('/slow', start => 1);

        $n++;
        my $text = $conf =~ s/_timeout  30s/_timeout  ${n}s/r;

        # only the last one has another database

        $text =~ s!^( *litestream_db +)app.*$!$&\n$1two $dir/two/db.sqlite3;!m
            if $_ == 3;

        my $mark = $t->log_mark;

        $t->write_file('nginx.conf', $text);
        $t->signal('HUP');
        $t->waitforlog(qr/reconfiguring/, 10, $mark);
        select undef, undef, undef, $pause;
    }

    ok($t->waituntil(sub {
        my $st = $t->status() // return 0;
        return 2 == @{ $st->{databases} }
               && 2 == grep { $_->{state} eq 'replicating' }
                   @{ $st->{databases} };
    }, 30), "pause $pause: the last configuration is in effect");
    ok($t->waituntil(sub { 1 == $t->supervisor_pids }, 20),
        "pause $pause: one supervisor is left");
    is($t->status()->{supervisor}{pid}, $t->supervisor_pid,
        "pause $pause: which is in charge");
    is(scalar(my @pids = $t->litestream_pids(any => 1)), 1,
        "pause $pause: one Litestream");
}

is($t->status()->{supervisor}{restarts}, 0, 'no restarts');

close $_ for @slow;

my @acked = $writer->stop;

ok($t->quit(), 'quit');
is(join(' ', $writer->lost(scalar $db->restore($url), @acked)), '',
    scalar(@acked) . ' commits, none was lost');
