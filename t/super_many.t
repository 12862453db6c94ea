#!/usr/bin/perl

# Databases whose comparison with their replicas takes longer than a start
# waits for: those that are replicated already are stopped once for all that
# come later, and are not compared again.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Storage;

my $n = 6;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(4);

my $dir = $t->testdir;
my $dbs = '';

$t->db_dir($_) for qw/ app replica /;
$t->fake();

my $storage = Test::Litestream::Storage->new($t);

$storage->mode('sleep 700 /replica/');

for (1 .. $n) {
    Test::Litestream::DB->make("$dir/app/$_.db", rows => $_);
    $dbs .= "    litestream_db db$_ $dir/app/$_.db;\n";
}

$t->write_file_expand('nginx.conf', <<"EOC");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_restore blocking concurrency=1;
    litestream_replica file://%%TESTDIR%%/replica;
$dbs
    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOC

$t->run(env => $storage->env);

ok($t->waituntil(sub { replicating() > 0 }, 20), 'the first ones');
ok($t->waituntil(sub { replicating() == $n }, 20), 'all of them');

is(scalar(grep { m!/replica/! } $storage->opened('/ltx/0')), $n,
    'each was compared once');
is(scalar(grep { $_->[2] =~ /^replicate/ } $t->fake_calls), 2, 'two starts');


sub replicating {
    my $st = $t->status || {};
    return scalar grep { $_->{state} eq 'replicating' }
        @{ $st->{databases} || [] };
}
