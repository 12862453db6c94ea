#!/usr/bin/perl

# A database in server{} never keeps nginx from starting: one in http{} is
# restored before the first request is answered, that of a site afterwards.
# Until then this site is not ready, and the others do not notice.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(36);

my $dir = $t->testdir;

$t->fake();

my $conf = <<'EOC';

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_restore  blocking;
    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       main %%TESTDIR%%/main/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location / {
            return 200 "ready=$litestream_ready";
        }

        location /litestream/ {
            litestream_api db=main,shop,blog;
        }
    }

    server {
        listen  127.0.0.1:8081;

        litestream_db  shop %%TESTDIR%%/shop/db.sqlite3;

        location / {
            return 200 "ready=$litestream_ready";
        }

        location /litestream/ {
            litestream_api;
        }
    }

    server {
        listen  127.0.0.1:8082;

        litestream_db  blog %%TESTDIR%%/blog/db.sqlite3;

        location / {
            return 200 "ready=$litestream_ready";
        }

        location /litestream/ {
            litestream_api;
        }
    }
}

EOC

$t->write_file_expand('nginx.conf', $conf);

my %db = map { $_ => $t->db($_, rows => 5) } qw/ main shop blog /;

$t->db_dir('replica');

$db{$_}->replicate("file://$dir/replica/$_") for keys %db;
$db{$_}->remove() for qw/ main shop /;

# all three restores would take their time, only one is waited for

$t->fake_mode('restore: sleep 2000');

my $start = $t->now;

$t->run();

my $took = $t->now - $start;

ok(-s $db{main}->path, 'http{}: restored before the start');
ok(!-e $db{shop}->path, 'server{}: not yet');
is(body(8081), 'ready=0', 'not ready');

my $r = get(8081, '/litestream/ready');

is($r->{status}, 503, 'its API says so');
like($r->{body}, qr/"shop":"(starting|restoring)/, 'and why');
is(body(8082), 'ready=1', 'a present one is ready at once');
is(code(8082), 200, 'its API');

is($t->waitforstate('shop', 'replicating', 20), 'replicating', 'restored');
is($db{shop}->count, 5, 'rows');
is($t->database('shop')->{restore}{state}, 'done', 'its status');
is(body(8081), 'ready=1', 'ready');
is(code(8081), 200, 'its API');
is($t->waitforstate($_, 'replicating'), 'replicating', $_) for qw/ main blog /;
is(restores('main'), 1, 'one restore in http{}');
is(restores('shop'), 1, 'one in server{}');
is(restores('blog'), 0, 'none of the one that was there');

ok($t->stop(), 'stop');

# a replica that refuses: that of http{} stops the start ...

$t->fake_mode('');
$db{$_}->remove() for qw/ main shop /;
chmod 0000, "$dir/replica/main";

my ($rc, $err) = $t->try_run();

is($rc, 1, 'denied in http{}: no start');
like($err, qr/database "main": .*permission denied/, 'the reason');

# ... that of a site does not

chmod 0755, "$dir/replica/main";
chmod 0000, "$dir/replica/shop";

($rc, $err) = $t->try_run();

is($rc, 0, 'denied in server{}: nginx starts') or diag($err);
is($t->waitforstate($_, 'replicating'), 'replicating', "$_ is replicated")
    for qw/ main blog /;
is($t->waitforstate('shop', 'error'), 'error', 'the other is in state error');
like(get(8081, '/litestream/ready')->{body}, qr/permission denied/,
    'the reason');
is(body(8081), 'ready=0', 'its site is not ready');
is(body(8082), 'ready=1', 'another site is');

ok($t->stop(), 'stop');

# nothing in http{}: nothing is waited for

$t->write_file_expand('nginx.conf',
    $conf =~ s/^ *litestream_db +main.*\n//mr =~ s/main,//r);
$t->fake_mode('version: sleep 5000', 'restore: sleep 1000');
$start = $t->now;

($rc, $err) = $t->try_run();

is($rc, 0, 'server{} alone: nginx starts') or diag($err);
cmp_ok($t->now - $start, '<', $t->ceiling(4), 'at once');
ok($t->waituntil(sub { body(8082) eq 'ready=1' }, 3),
    'a present one is ready before Litestream\'s version is known');
is($t->waitforstate('blog', 'replicating'), 'replicating', 'replicated');
is($t->waitforstate('shop', 'error'), 'error', 'still refused');

chmod 0755, "$dir/replica/shop";

is($t->waitforstate('shop', 'replicating', 40), 'replicating',
    'restored when it is there again');
is($db{shop}->count, 5, 'rows');
is(body(8081), 'ready=1', 'ready');


sub restores {
    my ($alias) = @_;
    return scalar grep { $_->[2] =~ m!^restore .* \Q$dir\E/$alias/db! }
        $t->fake_calls;
}

sub get {
    my ($port, $uri) = @_;
    return response(http_get($uri, peer => '127.0.0.1:' . port($port)));
}

sub code { return get($_[0], '/litestream/ready')->{status} }
sub body { return get($_[0], '/')->{body} }
