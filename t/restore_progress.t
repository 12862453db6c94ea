#!/usr/bin/perl

# A restore at start that takes its time shows that it goes on: a line every
# few seconds where nginx is started from, and under systemd the limit that it
# may run into.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(14);

my $dir = $t->testdir;

$t->fake();

$t->write_file_expand('nginx.conf', <<'EOC');

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
    }
}

EOC

my $url = 'file://' . $t->db_dir('replica') . '/app';
my $db = $t->db('app', rows => 10, size => 200000);

$db->replicate($url);

my $size = $db->restore($url)->size;

$db->remove();

# the storage takes its time, then the file

$t->fake_mode('ltx: sleep 2600', 'restore: partial 5000',
    'restore: sleep 2600');

my $begin = $t->now;
my ($rc, $err) = $t->try_run(env => { INVOCATION_ID => 'x' });
my @lines = grep { /"app"/ && !/\[warn\] replica/ } split /\n/, $err;

is($rc, 0, 'nginx starts') or diag($err);
is(scalar(grep { /^nginx: litestream: / } @lines), @lines, 'all of them ours');
like($lines[0], qr/restoring "app": waiting for "\Q$url\E", \d+ of 60 s$/,
    'the storage');
is(scalar(grep { /restoring "app": 5000 of $size bytes$/ } @lines),
    grep({ /restoring "app": \d/ } @lines), 'bytes of bytes');
cmp_ok(scalar(grep { /5000 of/ } @lines), '>=', 1, 'more than none');
cmp_ok(scalar(@lines), '<=', ($t->now - $begin) / 2, 'not too many');

like($err, qr/^nginx: litestream: .*systemd.*90 s.*TimeoutStartSec=/m,
    'the limit of systemd');
is(scalar(() = $err =~ /systemd/g), 1, 'said once');

is(scalar(my @log = $t->read_log(qr/ bytes$/)), 0, 'not in the log');
is($db->count, 10, 'rows');

# nothing to say about systemd without it

ok($t->stop(), 'stop');
$db->remove();
$t->fake_mode('restore: sleep 2600');

($rc, $err) = $t->try_run(env => { INVOCATION_ID => undef });

is($rc, 0, 'nginx starts again') or diag($err);
like($err, qr/restoring "app"/, 'no systemd: a line');
unlike($err, qr/systemd/, 'no systemd: no limit');
