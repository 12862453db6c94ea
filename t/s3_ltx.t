#!/usr/bin/perl

# GET ltx and "history" of a replica on S3: the same as Litestream lists; a
# storage that has gone or hangs is said in time, and keeps nobody.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::S3;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(16);

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
            litestream_api;
        }
    }
}

EOF

my $db = $t->db('app', rows => 3);

$s3->start();
$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

for (1 .. 3) {
    $db->insert();
    $t->api('sync/app', method => 'POST', body => '');
}

my ($own, $r);

ok($t->waituntil(sub {
    $own = $db->ltx($s3->url('backups/app'), env => $s3->env);
    $r = get('app');
    return $own && ($r->{files} // -1) == @$own;
}), 'as many files as Litestream lists');

is(join("\n", sort map { entry($_) } @{ $r->{ltx} }),
    join("\n", sort map { entry($_) } @$own), 'the same files');
is("$r->{status} $r->{replica}{type}", '200 s3', 'status');
ok($t->waituntil(sub { $t->database('app')->{history}{from} }),
    'history in the status');

my $h = $t->database('app')->{history};

is($h->{from}, $r->{history}{from}, 'history: from');
cmp_ok($h->{to}, 'ge', $r->{history}{to}, 'history: to');

# it hangs

$s3->signal('STOP');
old();

my $begin = $t->now;

$r = get('app?timeout=500ms');
is("$r->{status} $r->{running}", '202 1', 'it hangs: who does not wait');

$r = get('app');
is($r->{status}, 503, 'it hangs');
like($r->{error}, qr/no answer within the timeout: "\Q$endpoint\E" takes conn/,
    'it hangs: why');
cmp_ok($t->now - $begin, '<', $t->ceiling(15), 'it hangs: in time');

$s3->signal('CONT');
is(get('app')->{status}, 200, 'it goes on');

# it has gone

$s3->stop();
old();

$r = get('app');
is($r->{status}, 503, 'gone');
like($r->{error}, qr/"\Q$endpoint\E" cannot be reached: Connection refused/,
    'gone: why');
is($t->database('app')->{history}{from}, $h->{from}, 'gone: history is kept');
unlike($t->read_log, qr/\Q${\ $s3->secret }\E/, 'no secret in the log');


sub get {
    my $r = response(http_get("/litestream/ltx/$_[0]"));
    return { %{ json($r->{body}) }, status => $r->{status} };
}


# the times that S3 tells are those of uploads, to the second

sub entry { return join ' ', @{ $_[0] }{qw/ level min_txid max_txid size /} }


sub old {
    my $end = $t->now + 3.2;
    $t->waituntil(sub { $t->now > $end });
}
