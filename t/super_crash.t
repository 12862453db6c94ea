#!/usr/bin/perl

# A Litestream that crashes each time soon after it is up is started again at
# once, but not all the time, and nothing is lost.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(8);

my $dir = $t->testdir;
my $url = "file://$dir/replica/app";

$t->fake('crash 300');

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
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

my $db = $t->db('app', rows => 3);
$t->db_dir('replica');

my $begin = $t->now;

$t->run();

my $writer = $db->writer(rate => 100);

ok($t->waituntil(sub { 3 <= $t->read_log(qr/exited on signal 9/) }, 20),
    'crashes');

my $starts = grep { $_->[2] =~ /^replicate/ } $t->fake_calls;

cmp_ok($starts, '>=', 3, 'it is started again');
cmp_ok($starts, '<=', 3 + $t->now - $begin, 'not all the time');
is($t->status()->{litestream}[0]{last_exit}, 'exited on signal 9',
    'last exit');
cmp_ok($t->status()->{litestream}[0]{restarts}, '>=', 2, 'restarts');

$t->fake_mode();

is($t->waitforstate('app', 'replicating'), 'replicating',
    'then it replicates');
$writer->wait($writer->acked + 20);

my @acked = $writer->stop;

ok($t->quit(), 'quit');
is(join(' ', $writer->lost(scalar $db->restore($url), @acked)), '',
    'no acknowledged commit was lost');
