#!/usr/bin/perl

# Answers of Litestream that say too much, or nothing that can be understood:
# a sync is not taken for done, and the supervisor goes on.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(11);

# it has nothing in the replica, and does not say so either

my $synced = 'answer POST /sync 200 {"status":"synced","txid":0}';

$t->fake($synced, 'serve');

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_shutdown_timeout  2s;
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

$t->db('app', rows => 7);
$t->db_dir('replica');
$t->run();

my $super = $t->supervisor_pid;

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

for (['deep', '[' x 40000], ['large', '{"error":"' . 'x' x 60000 . '"}'],
     ['noise', join '', map { chr 33 + 37 * $_ % 94 } 1 .. 5000],
     ['an alias', '{"error":&a [*a,*a],"txid":*a}'])
{
    again("answer POST /sync 500 $_->[1]", 'serve');

    my $r = response(http_post('/litestream/sync/app?timeout=500ms'));
    my $error = json($r->{body})->{error};

    is($r->{status}, 503, "an answer: $_->[0]");
    cmp_ok(length $error, '<', 512, "an answer: $_->[0]: why") or diag($error);
}

# the same one makes sense of the next

again($synced, 'serve');

is($t->api('sync/app', method => 'POST', body => '')->{synced}, 1,
    'an answer that is one');
is($t->supervisor_pid, $super, 'the same supervisor');


# Litestream is ended and started with another mode

sub again {
    my (@mode) = @_;

    my @old = $t->litestream_pids;

    $t->fake_mode(@mode);
    $t->signal('KILL', @old) if @old;

    $t->waituntil(sub {
        my ($now) = $t->litestream_pids;

        return $now && !(grep { $now == $_ } @old)
            && $t->status->{litestream}[0]{state} eq 'up';
    }, 20) or diag("not up: @mode");
}
