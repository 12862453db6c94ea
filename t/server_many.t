#!/usr/bin/perl

# Many sites with a database each, half of which have to be restored: nginx
# starts at once, all of them are restored and replicated by one Litestream,
# and each site shows its own.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(10);

my $dir = $t->testdir;
my $sites = 60;

my $servers = join "\n", map { <<EOF } 1 .. $sites;
    server {
        listen         127.0.0.1:8080;
        server_name    s$_.example.com;
        litestream_db  s$_ %%TESTDIR%%/sites/$_.sqlite3;

        location / {
            return 200 "ready=\$litestream_ready";
        }

        location /litestream/ {
            litestream_api;
        }
    }
EOF

$t->write_file_expand('nginx.conf', <<EOF);

%%TEST_GLOBALS%%

daemon off;
error_log  %%TESTDIR%%/error.log notice;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;

    server {
        listen  127.0.0.1:8080 default_server;

        location /litestream/ {
            litestream_api;
        }
    }

$servers
}

EOF

$t->db_dir($_) for qw/ sites replica /;

# one is made and replicated, the others are like it

my $db = Test::Litestream::DB->make("$dir/sites/1.sqlite3", rows => 4);

$db->replicate("file://$dir/replica/s1");

my ($rc, $out, $err) = $t->as_user($db->user, '/bin/sh', '-c',
    "cd $dir && for i in \$(seq 2 2 $sites); do cp -R replica/s1 replica/s\$i"
    . " || exit 1; done");

is($rc, 0, 'copies of the backup') or diag($err);

my $start = $t->now;

$t->run();

cmp_ok($t->now - $start, '<', $t->ceiling(5), 'starts at once');

# the odd ones are new, but for the first

my %states;

$t->waituntil(sub {
    %states = ();
    $states{$_->{state}}++ for @{ ($t->status || {})->{databases} || [] };
    return ($states{replicating} // 0) == 1 + $sites / 2
        && ($states{new} // 0) == $sites / 2 - 1;
}, 60, 0.2);

is($states{replicating}, 1 + $sites / 2, 'restored and replicated');
is($states{new}, $sites / 2 - 1, 'new');

my @bad = grep {
    my $n = $_;
    my $copy = Test::Litestream::DB->new("$dir/sites/$n.sqlite3");
    $copy->count != 4;
} map { 2 * $_ } 1 .. $sites / 2;

is("@bad", '', 'rows');
is(scalar(my @pids = $t->litestream_pids), 1, 'one Litestream');

# each site

@bad = grep { get($_, '/') !~ /\r\n\r\nready=1$/ } 1 .. $sites;
is("@bad", '', 'variables');

@bad = grep {
    my $st = json(response(get($_, '/litestream/status'))->{body});
    join(' ', map { $_->{alias} } @{ $st->{databases} }) ne "s$_";
} 1 .. $sites;

is("@bad", '', 'API');

# one is lost: the others do not notice

unlink "$dir/sites/2.sqlite3";

ok($t->waituntil(sub { get(2, '/') =~ /ready=0$/ }), 'deleted: not ready');

@bad = grep { get($_, '/') !~ /ready=1$/ } 1, 3 .. $sites;
is("@bad", '', 'deleted: all others are');


sub get {
    my ($n, $uri) = @_;
    return http_get($uri, headers => { Host => "s$n.example.com" });
}
