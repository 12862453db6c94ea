#!/usr/bin/perl

# POST restore from S3, where Litestream alone knows the times: rows written at
# known moments come back, by time and by transaction; a storage that has gone
# or hangs is an error with its reason, in time, and without a secret.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::S3;

use POSIX qw/ strftime /;
use Time::HiRes qw//;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(27);

my $s3 = Test::Litestream::S3->new($t);
my $endpoint = $s3->endpoint;

$t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_restore  blocking timeout=5s;
    litestream_replica  s3://backups region=us-east-1 ${\ $s3->params };
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api write=on;
        }
    }
}

EOF

my $db = $t->db('app', rows => 3);

$s3->start();
$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

# the times of objects have seconds, those of transactions have more

my @moments;

for my $n (1 .. 3) {
    $db->insert(1, "moment $n");

    my $r = $t->api('sync/app', method => 'POST', body => '');

    select undef, undef, undef, 0.05;
    push @moments, { txid => $r->{txid}, at => now(), rows => rows($db) };
    select undef, undef, undef, 0.05;
}

for my $m (@moments) {
    for my $by (qw/ timestamp txid /) {
        my $r = restore(sprintf '{"%s":"%s"}', $by,
            $m->{$by eq 'txid' ? 'txid' : 'at'});

        is("$r->{status} $r->{restored}", '200 1', "$by: $m->{rows}")
            or diag($r->{error});
        is(rows(Test::Litestream::DB->new($r->{file})), $m->{rows},
            "$by: rows");
    }
}

my $r = restore('{}');
is("$r->{status} $r->{txid}", "200 $moments[2]{txid}", 'the newest');

# outside of it

$r = restore('{"timestamp":"2036-01-01T00:00:00Z"}');
is("$r->{status} $r->{restored}", '404 0', 'a time that is still to come');
like($r->{error}, qr!state at 2036.* is not in replica "s3://backups/app!,
    'a time that is still to come: why');

$r = restore('{"timestamp":"2016-01-01T00:00:00Z"}');
is("$r->{status} $r->{restored}", '404 0', 'a time before the first backup');

# it has gone, it hangs

my $n = () = $db->beside;

$s3->stop();

my $begin = $t->now;

$r = restore('{}');
is("$r->{status} $r->{restored}", '503 0', 'gone');
like($r->{error}, qr/replica "s3:.*"\Q$endpoint\E" cannot be reached: Connection/,
    'gone: why');
cmp_ok($t->now - $begin, '<', $t->ceiling(12), 'gone: in time');

$s3->start();
$t->api('sync/app?timeout=30s', method => 'POST', body => '');
$s3->signal('STOP');

$begin = $t->now;
$r = restore('{}');

is("$r->{status} $r->{restored}", '503 0', 'it hangs');
like($r->{error}, qr/takes connections, but has not answered/, 'it hangs: why');
cmp_ok($t->now - $begin, '<', $t->ceiling(12), 'it hangs: in time');

$s3->signal('CONT');

$r = restore('{}');
is("$r->{status} $r->{restored}", '200 1', 'it is back') or diag($r->{error});

is(scalar(() = $db->beside), $n + 1, 'nothing is left');
unlike($t->read_log, qr/\Q${\ $s3->secret }\E/, 'no secret in the log');
unlike(http_get('/litestream/status'), qr/\Q${\ $s3->secret }\E/,
    'no secret in the status');


sub restore {
    my ($body) = @_;
    my $r = response(http_post('/litestream/restore/app?timeout=1m', $body,
        ceiling => 60));
    return { %{ json($r->{body}) }, status => $r->{status} };
}


sub rows {
    my ($db) = @_;
    return join ' ', split /\n/,
        $db->sql("SELECT v FROM t WHERE v LIKE 'moment %' ORDER BY id;");
}


sub now {
    my $now = Time::HiRes::time();
    return strftime('%Y-%m-%dT%H:%M:%S', gmtime $now)
        . sprintf '.%03dZ', 1000 * ($now - int $now);
}
