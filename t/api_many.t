#!/usr/bin/perl

# A thousand databases: metrics, status and config are whole.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Prometheus qw/ metrics sample /;

use File::Copy qw/ copy /;

use constant N => 1000;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(10);

my $dir = $t->testdir;
my @alias = map { sprintf 'db%03d', $_ } 0 .. N - 1;
my $conf = join "\n", map { "    litestream_db $_ %%TESTDIR%%/app/$_;" }
    @alias;

$t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;

$conf

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

my $db = $t->db('app', rows => 7);

for (@alias) {
    copy($db->path, "$dir/app/$_") or die "copy() failed: $!\n";
    chown +(stat $db->path)[4, 5], "$dir/app/$_";
}

$t->db_dir('replica');
$t->run();

ok($t->waituntil(sub { ($t->status || {})->{ready} }, 60), 'ready');

for my $uri (qw/ metrics status config /) {
    my $body = response(http_get("/litestream/$uri"))->{body};

    if ($uri eq 'metrics') {
        my ($m, @wrong) = metrics($body);

        is("@wrong", '', 'metrics: well-formed');
        is(join(' ', map { sample($m, 'db_ready', db => $_) } @alias),
            join(' ', (1) x N), 'metrics: all of them');
        is(scalar @{ $m->{nginx_litestream_db_state}{samples} }, 8 * N,
            'metrics: all states');

    } elsif ($uri eq 'status') {
        is(join(' ', map { $_->{alias} } @{ json($body)->{databases} }),
            "@alias", 'status: all of them');

    } else {
        my $n = () = $body =~ m!^- path: "$dir/app/db\d+"$!mg;

        is($n, N, 'config: all of them');

        $n = () = $body =~ m!^    path: "$dir/replica/db\d+"$!mg;
        is($n, N, 'config: all replicas');
    }
}

# the answer is sent in parts: one that reads slowly gets all of it

my $s = http_get('/litestream/metrics', start => 1);

select undef, undef, undef, 0.3;

my $r = response(http_end($s));

is(length $r->{body}, $r->{headers}{'content-length'}, 'read slowly');
is($t->api('ready')->{ready}, 1, 'ready still');

# a stop leaves a second for the last syncs of them all, a quit what they need

ok($t->quit(ceiling => 90), 'quit');
