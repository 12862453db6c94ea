#!/usr/bin/perl

# Databases in server{}: they are those of that site, in its API and its
# variables.  What a site does not say itself it takes from http{}, wherever
# that stands; db= names any database, and an alias is unique over all.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(33);

my $dir = $t->testdir;

my $conf = <<'EOC';

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen  127.0.0.1:8080;

        location / {
            return 200 "ready=$litestream_ready lag=$litestream_lag";
        }

        location /litestream/ {
            litestream_api;
        }

        litestream_db       shop %%TESTDIR%%/shop/db.sqlite3;
        litestream_db       cart %%TESTDIR%%/shop/cart.sqlite3;
        litestream_replica  file://%%TESTDIR%%/shop-backup;
    }

    server {
        listen  127.0.0.1:8081;

        litestream_db  blog %%TESTDIR%%/blog/db.sqlite3;

        location / {
            return 200 "ready=$litestream_ready lag=$litestream_lag";
        }

        location /litestream/ {
            litestream_api;
        }

        location /some/ {
            litestream_api  db=shop,main,last;
        }
    }

    server {
        listen  127.0.0.1:8082;

        # has none of its own

        location / {
            return 200 "ready=$litestream_ready lag=$litestream_lag";
        }

        location /litestream/ {
            litestream_api;
        }
    }

    server {
        listen  127.0.0.1:8083;

        location /litestream/ {
            litestream_api;
        }

        litestream_db  last %%TESTDIR%%/blog/last.sqlite3
                       replica=file://%%TESTDIR%%/replica/elsewhere;
    }

    litestream_db       main %%TESTDIR%%/main/db.sqlite3;
    litestream_replica  file://%%TESTDIR%%/replica;
}

EOC

$t->write_file_expand('nginx.conf', $conf);

my $db = $t->db('shop', rows => 1);
$t->db($_, rows => 1) for qw/ blog main /;

Test::Litestream::DB->make("$dir/$_.sqlite3", rows => 1)
    for qw! shop/cart blog/last !;

$t->db_dir($_) for qw/ replica shop-backup /;

$t->run();

is($t->waitforstate($_, 'replicating'), 'replicating', "$_: replicating")
    for qw/ shop cart /;

my %all = map { $_ => 1 } qw/ blog cart last main shop /;

ok($t->waituntil(sub {
    keys %all == grep { $_->{state} eq 'replicating' } @{ at(8082)->{databases} };
}, 20), 'all are replicating');

is(aliases(8080), 'cart shop', 'API of a site');
is(aliases(8081), 'blog', 'API of another');
is(aliases(8083), 'last', 'API of a third');
is(aliases(8082), 'blog cart last main shop', 'no databases of its own: all');
is(aliases(8081, '/some/'), 'last main shop', 'db=');

# other sites' databases do not exist

is(code(8080, '/litestream/status/shop'), 200, 'one of its own');
is(code(8080, '/litestream/status/blog'), 404, 'one of another site');
is(code(8080, '/litestream/ready?db=main'), 404, 'one of http{}');
is(code(8081, '/litestream/status/shop'), 404, 'the other way round');
is(code(8081, '/some/status/shop'), 200, 'with db=');
is(code(8081, '/some/status/blog'), 404, 'db= is all that counts');

is(post(8080, 'sync/shop')->{status}, 200, 'sync');
is(post(8081, 'sync/shop')->{status}, 404, 'sync of another site\'s');

is(join(' ', sort map { $_->{alias} }
    @{ json(post(8080, 'verify')->{body})->{databases} }),
    'cart shop', 'verify is about its own');

# where the replicas are

my %url = map { $_->{alias} => $_->{replica}{url} } @{ at(8082)->{databases} };

is($url{shop}, "file://$dir/shop-backup/shop", 'the replica of its site');
is($url{cart}, "file://$dir/shop-backup/cart", 'also of the next one');
is($url{blog}, "file://$dir/replica/blog", 'the replica of http{}');
is($url{main}, "file://$dir/replica/main", 'http{} itself');
is($url{last}, "file://$dir/replica/elsewhere", 'replica=');

# variables

like(body(8080), qr/^ready=1 lag=\d+\.\d{3}$/, 'variables');

# one that is deleted: only its own site is not ready

unlink $db->files;

ok($t->waituntil(sub { body(8080) =~ /^ready=0/ }), 'deleted: not ready');
is(code(8080, '/litestream/ready'), 503, 'its API');
like(body(8081), qr/^ready=1/, 'another site is');
is(code(8081, '/litestream/ready'), 200, 'and so is its API');
like(body(8082), qr/^ready=0/, 'all databases are not');

# aliases are unique, whatever is read first

$t->stop();

$t->write_file_expand('nginx.conf', $conf =~ s/db  blog /db  main /r);

my ($rc, $err) = $t->conf_test();
my $line = $t->line_of(qr/db  main/);

is($rc, 1, 'one alias in server{} and in http{}');
like($err, qr/database "main" is duplicate .*nginx\.conf:$line/, 'says it');

# a file too

$t->write_file_expand('nginx.conf', $conf =~ s!/last\.sqlite3!/db.sqlite3!r);

($rc, $err) = $t->conf_test();
$line = $t->line_of(qr/db  last/);

like($err, qr/file of database "blog".*nginx\.conf:${\ ($line + 1) }\b/s,
    'one file in two sites');

# a replica too

$t->write_file_expand('nginx.conf', $conf =~ s!/elsewhere!/main!r);

($rc, $err) = $t->conf_test();

like($err, qr/replica .* is duplicate, it is that of database "main"/,
    'one replica in http{} and in server{}');

# db= is checked when all are known

$t->write_file_expand('nginx.conf', $conf =~ s/main,last/main,list/r);

($rc, $err) = $t->conf_test();

like($err, qr/unknown database "list" in "litestream_api"/, 'unknown in db=');


sub get {
    my ($port, $uri) = @_;
    return response(http_get($uri, peer => '127.0.0.1:' . port($port)));
}

sub post {
    my ($port, $uri) = @_;
    return response(http_post("/litestream/$uri", '',
        peer => '127.0.0.1:' . port($port)));
}


sub at { return json(get($_[0], '/litestream/status')->{body}) || {} }
sub code { return get(@_)->{status} }
sub body { return get($_[0], '/')->{body} }


sub aliases {
    my ($port, $uri) = @_;

    my $st = json(get($port, ($uri // '/litestream/') . 'status')->{body});
    return join ' ', sort map { $_->{alias} } @{ $st->{databases} };
}
