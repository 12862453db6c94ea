#!/usr/bin/perl

# Workers never block: while Litestream or the supervisor is stopped they
# serve pages, answer GET at once and say what is wrong, and POST in time.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(34);

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

        location /page {
            return 200 "ready=$litestream_ready\n";
        }
    }
}

EOF

my $db = $t->db('app', rows => 7);

$t->db_dir('replica');
$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

my ($pid) = $t->litestream_pids;
my $super = $t->supervisor_pid;

# Litestream is stopped

$t->signal('STOP', $pid);
serves('Litestream stopped', 1);

ok($t->waituntil(sub {
    return ($t->database('app')->{lag_seconds} // 0) > 1.5;
}), 'the lag grows');

like(get('ready?max_lag=1s'), qr/^503 .*"lag of \d+\.\d+s"/,
    'ready: the lag counts when asked');
like(get('ready'), qr/^200 /, 'ready: else it does not');

like(post('sync/app?timeout=300ms'), qr/^504 .*"synced":false.*in time/,
    'sync in time');
like(post('verify/app?timeout=300ms'), qr/^202 .*"running":true/,
    'verify in time');

$t->signal('CONT', $pid);

like(post('sync/app?timeout=20s'), qr/^200 /, 'sync afterwards');
ok($t->waituntil(sub { $t->api('verify/app')->{verified} }),
    'the verification afterwards');
is(($t->litestream_pids)[0], $pid, 'it was not taken for dead');

# the supervisor is stopped: nothing is known at once, but soon

$t->signal('STOP', $super);
serves('supervisor stopped', 1);

like(post('sync/app?timeout=300ms'), qr/^504 .*"synced":false.*in time/,
    'sync in time');
like(post('verify/app?timeout=300ms'), qr/^202 .*"running":true/,
    'verify in time');

ok($t->waituntil(sub { get('ready') =~ /^503 / }, 15),
    'its heartbeat is missed');

serves('supervisor down', 0);

my $st = $t->status;

is($st->{supervisor}{state}, 'down', 'supervisor: state');
is($st->{supervisor}{pid}, undef, 'supervisor: pid');
is($st->{supervisor}{uptime_seconds}, undef, 'supervisor: uptime');
is($st->{supervisor}{restarts}, 0, 'supervisor: restarts');
is($st->{ready}, 0, 'not ready');
is($st->{litestream}[0]{state}, 'down', 'of Litestream nothing is known');
is($st->{litestream}[0]{pid}, undef, 'neither its pid');
is($st->{databases}[0]{path}, $db->path, 'the last that was known');

is(get('ready'), '503 {"ready":false,"databases":'
    . '{"app":"no supervisor is running"}}', 'ready says why');

# more questions than a socket takes

my @calls = map {
    http_post('/litestream/sync/app?timeout=20s', '', start => 1)
} 1 .. 400;

serves('many are waiting', 0);

$t->signal('CONT', $super);

is(scalar(grep { http_end($_) =~ /^HTTP\S+ 200 .*"synced":true/s } @calls),
    400, 'all are answered');

ok($t->waituntil(sub { get('ready') =~ /^200 / }), 'ready again');
is($t->supervisor_pid, $super, 'the same supervisor');
serves('all is well', 1);


sub get { return flat(http_get("/litestream/$_[0]")) }
sub post { return flat(http_post("/litestream/$_[0]")) }


sub flat {
    my $r = response($_[0]);
    return "$r->{status} " . $r->{body} =~ s/\n$//r;
}


# a second is an age for what takes less than a millisecond

sub serves {
    my ($name, $ready) = @_;

    my $begin = $t->now;
    my $bad = '';

    for (1 .. 10) {
        my $r = http_get('/page');

        $bad .= $r unless $r =~ /ready=$ready$/m;
        $r = get('status');
        $bad .= $r unless $r =~ /^200 /;
    }

    is($bad, '', "$name: pages and status");
    cmp_ok($t->now - $begin, '<', $t->ceiling(2), "$name: at once");
}
