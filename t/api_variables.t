#!/usr/bin/perl

# $litestream_ready and $litestream_lag: in responses, headers, conditions and
# logs, as the status has them.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http rewrite map/)
    ->has_daemon(qw/litestream sqlite3/)->plan(19);

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
    litestream_db       later %%TESTDIR%%/later/db.sqlite3;

    map $litestream_ready $word {
        0  no;
        1  yes;
    }

    log_format  lag  "uri=$uri ready=$litestream_ready lag=$litestream_lag";
    access_log  %%TESTDIR%%/lag.log lag;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }

        location /return {
            return 200 "ready=$litestream_ready lag=$litestream_lag $word\n";
        }

        location /header {
            add_header X-Ready $litestream_ready always;
            add_header X-Lag $litestream_lag always;
            return 404;
        }

        location /if {
            if ($litestream_ready = 0) {
                return 503 "no\n";
            }

            return 200 "yes\n";
        }
    }
}

EOF

my $db = $t->db('app', rows => 7);

$t->db_dir($_) for qw/ later replica /;
$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
is($t->waitforstate('later', 'new'), 'new', 'a new one');

# the lag of all is unknown while that of one is

is(get('return')->{body}, "ready=1 lag=- yes\n", 'return');
is(join(' ', @{ get('header')->{headers} }{qw/ x-ready x-lag /}), '1 -',
    'add_header');
is(get('if')->{body}, "yes\n", 'if');

my $later = Test::Litestream::DB->make("$dir/later/db.sqlite3", rows => 1);

is($t->waitforstate('later', 'replicating'), 'replicating', 'not new now');

like(get('return')->{body}, qr/^ready=1 lag=\d+\.\d{3} yes$/, 'return');
like(get('header')->{headers}{'x-lag'}, qr/^\d+\.\d{3}$/, 'add_header');

get('if');

ok($t->waituntil(sub {
    ($t->read_file('lag.log') // '') =~ m!^uri=/if ready=1 lag=\d+\.\d{3}$!m;
}), 'log_format');
like($t->read_file('lag.log'), qr!^uri=/header ready=1 lag=-$!m,
    'log_format: unknown');

# the largest: it grows while Litestream is stopped, and is that of the status

ok($t->waituntil(sub {
    2 == @{ ($t->control('/list') || {})->{databases} || [] };
}), 'Litestream has both');

my ($pid) = $t->litestream_pids;

$t->signal('STOP', $pid);

ok($t->waituntil(sub { lag() > 3.5 }), 'it grows');

my $before = lag();
my ($max) = sort { $b <=> $a } map { $_->{lag_seconds} }
    @{ $t->status->{databases} };

cmp_ok($max, '>=', $before, 'as in the status: not less than before');
cmp_ok($max, '<=', lag(), 'as in the status: not more than after');

$t->signal('CONT', $pid);

ok($t->waituntil(sub { lag() < 3 }), 'it gets small again');

# not ready

$later->remove();

ok($t->waituntil(sub { get('return')->{body} =~ /^ready=0 .* no$/ }),
    'not ready');
is(get('if')->{status}, 503, 'not ready: if');

# without a database there is nothing to say

$t->stop();
$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen  127.0.0.1:8080;

        location / {
            return 200 "ready=$litestream_ready lag=$litestream_lag\n";
        }
    }
}

EOF

$t->run();

is(get('return')->{body}, "ready= lag=\n", 'no database');
is($t->supervisor_pid, 0, 'no database, no supervisor');


sub get { return response(http_get("/$_[0]")) }
sub lag { return get('return')->{body} =~ /lag=([\d.]+)/ ? $1 : -1 }
