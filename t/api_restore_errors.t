#!/usr/bin/perl

# POST restore that is not understood or not allowed is refused with the right
# status and one reason, and restores nothing.  A body may come in pieces, and
# is never written to a file.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(66);

my $dir = $t->testdir;

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    client_body_buffer_size  8;

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;
    litestream_db       new %%TESTDIR%%/new/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }

        location /read/ {
            litestream_api;
        }

        location /file/ {
            client_body_in_file_only  on;
            litestream_api            write=on;
        }
    }
}

EOF

my $db = $t->db('app', rows => 3);

$t->db_dir($_) for qw/ replica new /;
$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
is($t->waitforstate('new', 'new'), 'new', 'new');

# bodies

my $object = qr/^the request body must be a JSON object/;
my $time = qr/^"timestamp" must be a time as in RFC 3339/;
my $txid = qr/^"txid" must be 16 hex digits/;

for (
    ['[]', $object], ['"x"', $object], ['null', $object], ['{', $object],
    ['{}}', $object], ['{} x', $object], ['{,}', $object],
    ['{"txid"}', $object], ['{"txid":}', $object],
    ['{"txid":"0000000000000001",}', $object],
    ['{"txid":"0000000000000001"', $object],
    ['{txid:"0000000000000001"}', $object],
    ["{'txid':'0000000000000001'}", $object],
    ['{"a":{}}', $object], ['{"a":[1]}', $object], ['{"a":tru}', $object],
    ["{\"a\":\"\n\"}", $object], ['{"a":"\\"}', $object],
    ["\0", $object],
    ['{"path":"/tmp/x"}', qr/^unknown member "path"$/],
    ['{"output":1}', qr/^unknown member "output"$/],
    ['{"tx\\u0069d":"1"}', qr/^unknown member "tx\\u0069d"$/],
    ['{"timestamp":"now"}', $time], ['{"timestamp":""}', $time],
    ['{"timestamp":"2026-01-31"}', $time], ['{"timestamp":1767225600}', $time],
    ['{"timestamp":"2026-02-30T00:00:00Z"}', $time],
    ['{"timestamp":"2026-01-31T12:00:00"}', $time],
    ['{"timestamp":"1969-01-31T12:00:00Z"}', $time],
    ['{"timestamp":true}', $time],
    ['{"txid":"2a"}', $txid], ['{"txid":42}', $txid],
    ['{"txid":"000000000000002g"}', $txid],
    ['{"txid":"0000000000000000"}', $txid],
    ['{"txid":"0000000000000001","txid":"0000000000000001"}',
        qr/^duplicate member "txid"$/],
    ['{"timestamp":"2026-01-31T12:00:00Z","txid":"0000000000000001"}',
        qr/^"timestamp" and "txid" exclude each other$/],
    ['{"in_place":"yes"}', qr/^"in_place" must be true or false$/])
{
    my ($body, $error) = @$_;
    my $r = restore($body);

    is($r->{status} . ($r->{error} =~ $error ? '' : " $r->{error}"), 400,
        $body =~ s/[^ -~]/?/gr);
}

my $r = restore('{"in_place":true}');

is($r->{status}, 501, 'in place');
like($r->{error}, qr/"in_place" is not supported by this version/,
    'in place: why');

# bodies that are in order

for ('', " \r\n\t", '{}', ' { } ', '{"timestamp":null , "txid":null}',
    '{"in_place":false}')
{
    $r = restore($_);
    is("$r->{status} $r->{restored}", '200 1',
        "newest: '" . s/[^ -~]/?/gr . "'");
}

# in pieces, chunked, with whatever buffers

$r = finish(pieces('/litestream/restore/app', "Content-Length: 20\r\n",
    ' { ', ' "txid', '":n'));
is($r->{status}, 0, 'a body that does not come: no answer yet');

$r = finish(pieces('/litestream/restore/app', "Content-Length: 20\r\n",
    ' { ', ' "txid', '":null', ' } ', '  '));
is("$r->{status} $r->{restored}", '200 1', 'in pieces');

$r = finish(pieces('/litestream/restore/app',
    "Transfer-Encoding: chunked\r\n", "8\r\n { \"txid\r\n", "8\r\n\":null }\r\n"
    , "0\r\n\r\n"));
is("$r->{status} $r->{restored}", '200 1', 'chunked');

$r = finish(http_post('/file/restore/app', '{"txid":null}'));
is("$r->{status} $r->{restored}", '200 1', 'client_body_in_file_only');
is(join(' ', glob "$dir/client_body_temp/*"), '', 'no body was in a file');

# too much

$r = restore(' ' x 5000);
is("$r->{status} $r->{error}", '413 the request body is too large',
    'a large body');

$r = finish(pieces('/litestream/restore/app',
    "Transfer-Encoding: chunked\r\n", ("400\r\n" . ' ' x 1024 . "\r\n") x 5));
is("$r->{status} $r->{error}", '413 the request body is too large',
    'a large body, chunked');

# who may, and what

my @files = glob $db->path . '.restored-*';

$r = finish(http_post('/read/restore/app', '{}'));
is("$r->{status} $r->{error}", '403 "restore" needs write=on',
    'without write=on');

$r = finish(http_post('/litestream/restore/app', '{}',
    headers => { Origin => 'http://other.example' }));
is($r->{status}, 403, 'from another site');

$r = response(http_get('/litestream/restore/app'));
is("$r->{status} $r->{headers}{allow}", '405 POST', 'GET');

for (['restore', 404, 'unknown endpoint'],
     ['restore/nobody', 404, 'unknown database "nobody"'],
     ['restore/app/x', 404, 'unknown database "app/x"'],
     ['restore/app?timeout=2h', 400, '"timeout" must be between 1ms and 1h'],
     ['restore/app?mode=full', 400, 'unknown parameter "mode"'])
{
    $r = finish(http_post("/litestream/$_->[0]", '{}'));
    is("$r->{status} $r->{error}", "$_->[1] $_->[2]", $_->[0]);
}

# nothing to restore

$r = finish(http_post('/litestream/restore/new', '{}'));
is("$r->{status} $r->{restored}", '404 0', 'no backup');
like($r->{error}, qr/replica ".*new" holds no backup$/, 'no backup: why');

is(scalar(@{[ glob $db->path . '.restored-*' ]}), scalar @files,
    'nothing was restored');
is(join(' ', grep { !/^db\.sqlite3\.restored-/ } $db->beside), '',
    'nothing is left');


sub restore {
    my ($body) = @_;
    return finish(http_post('/litestream/restore/app', $body));
}


sub finish {
    my $r = response($_[0]);
    my $answer = $r->{status} ? json($r->{body}) : {};
    return { %$answer, status => $r->{status} };
}


# a request whose body comes in pieces; what is sent to a closed connection is
# none of ours

sub pieces {
    my ($uri, $header, @pieces) = @_;

    my $s = http("POST $uri HTTP/1.1\r\nHost: localhost\r\n"
        . "Connection: close\r\n$header\r\n", start => 1);

    local $SIG{PIPE} = 'IGNORE';

    for (@pieces) {
        select undef, undef, undef, 0.03;
        $s->syswrite($_);
    }

    my $whole = $header =~ /Length: (\d+)/ ? $1 <= length join '', @pieces : 1;

    return http_end($s, $whole ? () : (ceiling => 0.3));
}
