#!/usr/bin/perl

# GET ready: 200 or 503 and why, for each database; what is asked for besides
# being in place: replicating=1, max_lag=, verified=.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(47);

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
    litestream_db       old %%TESTDIR%%/old/db.sqlite3;
    litestream_db       gone %%TESTDIR%%/gone/db.sqlite3 restore=off;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }

        location /two/ {
            litestream_api  db=app,later;
        }

        location /one/ {
            litestream_api  db=app;
        }
    }
}

EOF

$t->db('app', rows => 7);

$t->db_dir($_) for qw/ later replica /;

# one that is older than its replica, one that is not there and must not be
# restored

for my $alias (qw/ old gone /) {
    my $db = $t->db($alias, rows => 7);

    my ($rc, $out, $err) = $t->as_user($db->user, $t->litestream,
        'replicate', '-once', $db->path, "file://$dir/replica/$alias");
    is($rc, 0, 'a replica') or diag($err);

    $db->remove();
    Test::Litestream::DB->make($db->path, rows => 1) if $alias eq 'old';
}

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
is($t->waitforstate('old', 'error'), 'error', 'older than its replica');
is($t->waitforstate('later', 'new'), 'new', 'new');
is($t->waitforstate('gone', 'error'), 'error', 'missing');

# what is in place is ready, whether it is replicated or not

is(ready('/two/ready'), '200 true app=ok later=ok', 'ready');
is(ready('/one/ready'), '200 true app=ok', 'ready: of the location');

my $all = ready('/litestream/ready');

like($all, qr/^503 false /, 'one of all is not');
like($all, qr/\bgone=error: .* is missing/, 'not there');
like($all, qr/\bapp=ok\b/, 'there');
like($all, qr/\blater=ok\b/, 'proven new');
like($all, qr/\bold=ok\b/, 'there, not replicated');

# db=

is(ready('/litestream/ready?db=app'), '200 true app=ok', 'db=');
is(ready('/litestream/ready?db=old&db=later'), '200 true later=ok old=ok',
    'db= twice');
is(ready('/litestream/ready?db=app&db=app'), '200 true app=ok',
    'db= with the same');
is(ready('/litestream/ready?db=%61pp'), '200 true app=ok', 'db= escaped');
like(ready('/litestream/ready?db=gone'), qr/^503 false gone=error: .* is missing/,
    'db= of one that is not ready');
like(ready('/litestream/ready?db=app&db=no'), qr/^404 .*unknown.*"no"/,
    'db= unknown');
like(ready('/one/ready?db=later'), qr/^404 /, 'db= of another location');
like(ready('/litestream/ready?db='), qr/^404 /, 'db= empty');

# replicating=

is(ready('/litestream/ready?db=app&replicating=1'), '200 true app=ok',
    'replicating=');
is(ready('/two/ready?replicating=0'), '200 true app=ok later=ok',
    'replicating=0');
like(ready('/two/ready?replicating=1'),
    qr/^503 false app=ok later=new: nothing to replicate/,
    'replicating= of one that is new');
like(ready('/litestream/ready?db=old&replicating=1'),
    qr/^503 false old=error: not replicated: .* ahead of the database/,
    'replicating= of one in error');

# max_lag=

is(ready('/one/ready?max_lag=1h'), '200 true app=ok', 'max_lag=');
is(ready('/two/ready?max_lag=1h'), '503 false app=ok later=lag unknown',
    'max_lag= of one that is new');

ok($t->waituntil(sub {
    ready('/one/ready?max_lag=1ms') =~ /^503 false app=lag of \d+\.\d{3}s$/;
}), 'max_lag= exceeded');

# verified=

is(ready('/one/ready?verified=3d'), '503 false app=not verified yet',
    'verified=');

is($t->api('verify/app', method => 'POST', body => '')->{verified}, 1,
    'verification');
is(ready('/one/ready?verified=3d'), '200 true app=ok', 'verified');
is(ready('/two/ready?verified=3d'),
    '503 false app=ok later=not verified yet', 'not all verified');

ok($t->waituntil(sub {
    ready('/one/ready?verified=1s') =~ /^503 false app=verified \d+s ago$/;
}), 'verified too long ago');

is($t->api('verify/later', method => 'POST', body => '')->{verified}, 0,
    'verification of one that is new');
like(ready('/litestream/ready?db=later&verified=3d'),
    qr/^503 false later=verification failed: /, 'verification failed');

is(ready('/one/ready?db=app&replicating=1&max_lag=1h&verified=3d'),
    '200 true app=ok', 'all of it');

# what cannot be understood is refused: a typo must not weaken a check

for (['replicating=2', qr/invalid "replicating" value "2"/],
     ['replicating', qr/invalid "replicating" value ""/],
     ['max_lag=soon', qr/invalid "max_lag" value "soon"/],
     ['max_lag=', qr/invalid "max_lag"/],
     ['max_lag=-1', qr/invalid "max_lag"/],
     ['verified=3x', qr/invalid "verified"/],
     ['maxlag=1', qr/unknown parameter "maxlag"/],
     ['timeout=1s', qr/unknown parameter "timeout"/],
     ['replicating=1&replicating=1', qr/duplicate parameter "replicating"/],
     ['max_lag=1s&max_lag=2s', qr/duplicate parameter "max_lag"/])
{
    like(ready("/one/ready?$_->[0]"), qr/^400 error=$_->[1]/, $_->[0]);
}

is(ready('/one/ready?&&db=app&'), '200 true app=ok', 'empty arguments');

$t->stop();


# "503 false a=ok b=why", or "400 error=why"

sub ready {
    my $r = response(http_get($_[0]));
    my $v = json($r->{body});

    return "$r->{status} error=$v->{error}" if exists $v->{error};

    return join ' ', $r->{status}, $v->{ready} ? 'true' : 'false',
        map { "$_=$v->{databases}{$_}" } sort keys %{ $v->{databases} };
}
