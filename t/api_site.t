#!/usr/bin/perl

# POST from a browser: what comes from another site is refused, and so is a
# name that somebody has made point here; what is no browser's is not looked
# at.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http http_v2/)
    ->has_daemon(qw/litestream sqlite3 curl/)->plan(97);

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
        listen       127.0.0.1:8080;
        listen       127.0.0.1:8081 http2;
        server_name  www.example.com .example.net *.example.org
                     mail.example.* ~^re\d+\.example$ ""
                     ~^(?<sub>\w+)\.capture$ *.UPPER.example;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

$t->db('app', rows => 7);
$t->db_dir('replica');

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

# no browser: curl, a script

for ('localhost', 'evil.com', '127.0.0.1:8080', 'www.example.com') {
    is(post(Host => $_), 200, "Host $_");
}

# the same site

for my $host (qw/ www.example.com WWW.Example.COM www.example.com:8080
    localhost LOCALHOST:8080 127.0.0.1 127.0.0.1:8080 [::1] [::1]:8080
    10.1.2.3 example.net a.example.net a.b.example.net a.example.org
    mail.example.de re7.example a.capture a.upper.EXAMPLE
    [::ffff:127.0.0.1] /)
{
    is(post(Host => $host, Origin => "http://$host",
        'Sec-Fetch-Site' => 'same-origin'), 200, "same origin: $host");
}

is(post(Host => 'localhost', 'Sec-Fetch-Site' => 'none'), 200,
    'typed by the user');
is(post(Host => 'localhost:80', Origin => 'http://localhost'), 200,
    'port 80 is the default');
is(post(Host => 'localhost', Origin => 'http://localhost:80'), 200,
    'port 80 is the default of Origin');
is(post(Host => 'localhost', Origin => 'https://localhost'), 200,
    'TLS ended in front of nginx');
is(post(Host => 'localhost', Origin => 'https://localhost:443'), 200,
    'port 443 is the default');
is(post(Host => 'localhost', origin => 'http://localhost'), 200,
    'a name in lower case');

is(post(Host => 'localhost.', Origin => 'http://localhost.'), 200,
    'a dot at the end');
is(post(Host => 'WWW.example.com.', Origin => 'http://www.example.com.'), 200,
    'a dot at the end of a name');
is(post(Host => '[2001:db8::a]:8080', Origin => 'http://[2001:DB8::A]:8080'),
    200, 'IPv6, in upper case');

# the URI has the host: then Host does not count

for (
    [ 200, 'http://localhost/', 'localhost', 'http://localhost' ],
    [ 200, 'http://LOCALHOST:8080/', 'localhost', 'http://localhost:8080' ],
    [ 200, 'http://[::1]:81/', 'x', 'http://[::1]:81' ],
    [ 200, 'http://www.example.com/', undef, 'http://www.example.com' ],
    [ 403, 'http://localhost:8080/', 'localhost', 'http://localhost' ],
    [ 403, 'http://localhost/', 'evil.com', 'http://evil.com' ],
    [ 403, 'http://evil.com/', 'localhost', 'http://localhost' ],
    [ 403, 'http://evil.com/', 'localhost', 'http://evil.com' ],
    [ 403, 'http://evil.com:8080/', 'localhost', 'http://evil.com:8080' ])
{
    my ($status, $uri, $host, $origin) = @$_;
    my $line = "POST ${uri}litestream/sync/app HTTP/1.0\r\n";

    $line .= "Host: $host\r\n" if defined $host;

    is(response(http("$line" . "Origin: $origin\r\n\r\n"))->{status},
        $status, "$uri, Host " . ($host // '-') . ", Origin $origin");
}

# HTTP/2 has ":authority"

for (
    [ 200, 'www.example.com', 'http://www.example.com:%d' ],
    [ 200, '127.0.0.1', 'http://127.0.0.1:%d' ],
    [ 403, 'www.example.com', 'http://www.example.com:1' ],
    [ 403, 'www.example.com', 'http://evil.com:%d' ],
    [ 403, 'evil.com', 'http://evil.com:%d' ])
{
    my ($status, $host, $origin) = @$_;
    my $port = port(8081);

    $origin =~ s/%d/$port/;

    my (undef, $out) = $t->command('curl', '-sS', '--noproxy', '*',
        '--http2-prior-knowledge', '--resolve', "$host:$port:127.0.0.1",
        '-X', 'POST', '-H', "Origin: $origin", '-w', '%{http_version}'
        . ' %{http_code}', '-o', '/dev/null',
        "http://$host:$port/litestream/sync/app");

    is($out, "2 $status", "HTTP/2 $host, Origin $origin");
}

# several Origins: each has to be this site

for (
    [ 403, qw! http://localhost http://evil.com ! ],
    [ 403, qw! http://evil.com http://localhost ! ],
    [ 403, 'http://localhost', 'null' ],
    [ 200, 'http://localhost', 'http://localhost:80' ])
{
    my ($status, @origin) = @$_;

    is(response(http("POST /litestream/sync/app HTTP/1.0\r\n"
        . "Host: localhost\r\n" . join('', map { "Origin: $_\r\n" } @origin)
        . "\r\n"))->{status}, $status, "Origins @origin");
}

# many headers: nginx keeps them in parts of twenty

is(response(http("POST /litestream/sync/app HTTP/1.0\r\nHost: localhost\r\n"
    . join('', map { "X-$_: y\r\n" } 1 .. 50)
    . "Origin: http://evil.com\r\n\r\n"))->{status}, 403,
    'the last of many headers');

# another site

for my $origin ('http://evil.com', 'https://evil.com', 'null', '',
    'http://', 'http://localhost.evil.com', 'http://evil.com:80',
    'http://evillocalhost', 'http://localhost:81', 'https://localhost:80',
    'http://localhost@evil.com', 'localhost', 'ftp://localhost',
    'http://localhost:', 'http://localhost:x', 'http://localhost/',
    'http://localhost http://evil.com')
{
    is(post(Host => 'localhost', Origin => $origin), $origin eq
        'http://localhost:' ? 200 : 403, "Origin \"$origin\"");
}

for (qw/ cross-site same-site Same-Origin x /) {
    is(post(Host => 'localhost', 'Sec-Fetch-Site' => $_), 403,
        "Sec-Fetch-Site $_");
}

is(post(Host => 'localhost', Origin => 'http://localhost',
    'sec-fetch-site' => 'cross-site'), 403, 'one of the two is enough');

# a name of another site that points here: Origin and Host agree

for my $host (qw/ evil.com evil.com:8080 localhost.evil.com
    wwwexample.com badexample.net example.org mail.example re.example
    127.0.0.1.evil.com 127.0.0.1.2 256.0.0.1 [evil.com] [] capture
    mail.example. upper.example _ /)
{
    is(post(Host => $host, Origin => "http://$host",
        'Sec-Fetch-Site' => 'same-origin'), 403, "another name: $host");
}

is(post(Host => 'evil.com', 'Sec-Fetch-Mode' => 'navigate'), 403,
    'another name: any header of browsers');
is(post(Origin => 'http://localhost'), 403, 'no Host');

# GET may be shown anywhere

is(response(http_get('/litestream/ready', headers => { Host => 'evil.com',
    Origin => 'http://evil.com', 'Sec-Fetch-Site' => 'cross-site' }))->{status},
    200, 'GET');

# nothing has been done, and the reason is said

my $r = response(http_post('/litestream/verify', '', headers => {
    Origin => 'http://evil.com' }));

is($r->{status}, 403, 'verify of another site');
like(json($r->{body})->{error}, qr!another site.*"http://evil\.com"!,
    'the reason');
is($t->api('verify/app')->{at}, undef, 'no verification');


sub post {
    my (%headers) = @_;

    $headers{Host} //= undef;

    return response(http_post('/litestream/sync/app', '',
        headers => \%headers))->{status};
}
