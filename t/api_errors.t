#!/usr/bin/perl

# What the endpoints refuse: unknown names, wrong methods, bodies that are too
# large, arguments that cannot be understood, always in JSON; and GET never
# changes anything.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(63);

my $dir = $t->testdir;

$t->fake();

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;
    litestream_db       other %%TESTDIR%%/other/db.sqlite3;

    client_max_body_size  1k;

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location /litestream/ {
            litestream_api  write=on db=app;
        }

        location /page {
            litestream_api;
            error_page  404 /page.html;
        }

        location = /exact/ready {
            litestream_api;
        }
    }
}

EOF

my $db = $t->db('app', rows => 7);

$t->db('other', rows => 7);
$t->db_dir('replica');

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

# names

for my $uri (qw! no status/ status/no status/app/ status/app/x ready/app
    sync verify/ verify/no sync/no statu statuss Status
    metric configs status/other sync/other status/.app !)
{
    my $r = error('GET', $uri);

    is($r->{what}, '404 json no-store', "GET $uri");
}

like(error('GET', 'status/other')->{error}, qr/unknown database "other"/,
    'the name that is unknown');
like(error('GET', 'no')->{error}, qr/unknown endpoint/,
    'the endpoint that is unknown');
is(error('POST', 'no')->{what}, '404 json no-store', 'POST no');
is(error('POST', 'verify/no')->{what}, '404 json no-store', 'POST verify/no');

my $long = 'a' x 3000;

is(error('GET', "status/$long")->{what}, '404 json no-store', 'a long name');
is(error('GET', 'status/%22%0a%ff%5c%7f')->{what}, '404 json no-store',
    'any bytes in a name');

# methods

for (['POST', 'status', 'GET, HEAD'], ['POST', 'status/app', 'GET, HEAD'],
     ['POST', 'ready', 'GET, HEAD'], ['POST', '', 'GET, HEAD'],
     ['PUT', 'status', 'GET, HEAD'], ['OPTIONS', 'status', 'GET, HEAD'],
     ['GET', 'sync/app', 'POST'], ['HEAD', 'sync/app', 'POST'],
     ['DELETE', 'sync/app', 'POST'],
     ['PUT', 'verify', 'GET, HEAD, POST'],
     ['DELETE', 'verify/app', 'GET, HEAD, POST'],
     ['X-Y', 'verify/app', 'GET, HEAD, POST'])
{
    my ($method, $uri, $allow) = @$_;
    my $r = error($method, $uri);

    is("$r->{what}, $r->{headers}{allow}", "405 "
        . ($method eq 'HEAD' ? '' : 'json ') . "no-store, $allow",
        "$method /$uri");
}

# arguments

for (['mode=fast', 400, qr/invalid "mode" value "fast"/],
     ['mode=', 400, qr/invalid "mode"/],
     ['timeout=0', 400, qr/must be between/],
     ['timeout=2h', 400, qr/must be between/],
     ['timeout=x', 400, qr/invalid "timeout"/],
     ['max_lag=1s', 400, qr/unknown parameter "max_lag"/],
     ['write=on', 400, qr/unknown parameter "write"/])
{
    my ($args, $status, $error) = @$_;
    my $r = error('POST', "verify/app?$args");

    like("$r->{what} $r->{error}", qr/^$status json no-store .*$error/, $args);
}

is(error('POST', 'sync/app?mode=quick')->{what}, '400 json no-store',
    'sync has no mode');

# bodies: nothing reads them, what is announced counts

is(post(4096), '200', 'a body of 4096 bytes');
is(post(4097), '413 json no-store close', 'a body that is too large');
is(post(4097, Expect => '100-continue'), '413 json no-store close',
    'a body that is too large: no "continue"');
is(post(1e12), '413 json no-store close', 'a body that is huge');
is(post(100, Expect => '100-continue'), '100 200', 'a body: "continue"');

my $r = http_raw("POST /litestream/sync/app HTTP/1.1\r\nHost: localhost\r\n"
    . "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    . "1388\r\n" . ('x' x 5000) . "\r\n0\r\n\r\n");

like($r->{data}, qr/^HTTP\S+ (413|200)/, 'a chunked body');

$r = http_raw("POST /litestream/sync/app HTTP/1.1\r\nHost: localhost\r\n"
    . "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    . "5\r\nhello\r\n0\r\n\r\n");

like($r->{data}, qr/^HTTP\S+ 200.*"synced":true/s, 'a small chunked body');

# locations

is(response(http_get('/exact/ready'))->{status}, 200, 'location = of one');
is(response(http_get('/exact/status'))->{status}, 404, 'nothing else there');
is(error('GET', '/page/no')->{what}, '404 json no-store',
    'error_page is for others');
is(response(http_get('/page'))->{status}, 200, 'a prefix without a slash');
is(response(http_get('/page/status/app'))->{status}, 200,
    'an endpoint below it');

# a keep-alive connection goes on after errors

$r = http_raw(join('', map { "$_ HTTP/1.1\r\nHost: localhost\r\n"
    . "Content-Length: 3\r\n\r\nxyz" } 'POST /litestream/no',
    'POST /litestream/status', 'POST /litestream/verify?mode=x',
    'GET /litestream/sync/app')
    . "GET /litestream/ready HTTP/1.0\r\n\r\n");

is(join(' ', $r->{data} =~ m!HTTP/1\.1 (\d+)!g), '404 405 400 405 200',
    'keep-alive');

# GET changes nothing: no job, no transaction, the files are as they were

$t->waituntil(sub { !$t->job_pids });

my @calls = $t->fake_calls;
my $txid = $t->control('/txid?path=' . $db->path)->{txid};
my $before = db_files();

for (1 .. 5) {
    http_get($_) for map { "/litestream/$_" } qw/ status status\/app ready
        ready?db=app&replicating=1&max_lag=1s&verified=1s verify verify\/app
        verify?mode=quick verify\/app?timeout=1s sync\/app no /, '';
}

is($t->job_pids, 0, 'GET: no job');
is(scalar(my @now = $t->fake_calls), scalar @calls,
    'GET: Litestream was not called');
is($t->control('/txid?path=' . $db->path)->{txid}, $txid,
    'GET: no transaction');
is(db_files(), $before, 'GET: the files are as they were');
is(json(http_body('verify/app'))->{at}, undef, 'GET: no verification');


# what: status, is it JSON that says why, may it be stored

sub error {
    my ($method, $uri) = @_;

    my $r = response(http_get($uri =~ m!^/p! ? $uri : "/litestream/$uri",
        method => $method, $method =~ /^P/ ? (body => '') : ()));

    my $v = eval { json($r->{body}) } || {};
    my $json = join(',', keys %$v) eq 'error' && length $v->{error}
        && $r->{headers}{'content-type'} eq 'application/json';

    return {
        what => join(' ', $r->{status}, $json ? 'json' : (),
            $r->{headers}{'cache-control'} // ()),
        error => $v->{error} // '',
        headers => $r->{headers},
    };
}


sub post {
    my ($size, %headers) = @_;

    my $s = http_raw("POST /litestream/sync/app HTTP/1.1\r\nHost: localhost"
        . join('', map { "\r\n$_: $headers{$_}" } keys %headers)
        . "\r\nContent-Length: $size\r\n\r\n"
        . ($size <= 4096 ? 'x' x $size : ''), until => qr/\}$/)->{data};

    my @status = $s =~ m!^HTTP/1\.1 (\d+)!mg;
    my $r = response($s =~ s!^HTTP/1.1 100.*?\r\n\r\n!!sr);

    return join ' ', @status,
        $status[-1] == 200 ? () : (
            length(eval { json($r->{body})->{error} } // '') ? 'json' : (),
            $r->{headers}{'cache-control'}, $r->{headers}{connection});
}


sub http_body { return response(http_get("/litestream/$_[0]"))->{body} }


sub db_files {
    return join ' ', map { "$_ " . unpack('%32C*', $t->read_file($_)) }
        sort grep { -f && !/-shm$/ } glob($db->path . '*');
}
