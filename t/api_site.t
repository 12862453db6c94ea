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

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(64);

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
        server_name  www.example.com .example.net *.example.org
                     mail.example.* ~^re\d+\.example$ "";

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
    mail.example.de re7.example /)
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
    127.0.0.1.evil.com /)
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
