#!/usr/bin/perl

# What may lie at the status file's place when nginx is started: texts, pieces,
# noise, links; it is replaced, and never followed.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(19);

my $dir = $t->testdir;
my $file = "$dir/s/status";

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;
worker_processes 2;

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

$t->db('app', rows => 7);
$t->db_dir('replica');

# one that can be one

$t->run();
$t->waitforstate('app', 'replicating');
ok($t->quit(), 'quit');

my @st = stat $file;
my $size = $st[7];

open my $f, '<', $file or die "open($file) failed: $!\n";
sysread $f, my ($good), 5000;
close $f;

# what cannot

for (['text', "no status\n"],
     ['the beginning', $good],
     ['a layout of the future', substr($good, 0, 4) . pack('V', 2)
         . substr $good, 8],
     ['records of noise', substr($good, 0, 16) . "\xfe\xff\xff\xff"
         x 300000])
{
    my ($name, $text) = @$_;

    $t->write_file($file, $text);
    truncate $file, $size if $name eq 'records of noise';

    $t->run();

    is($t->waitforstate('app', 'replicating'), 'replicating', $name);
    is(join(' ', (stat $file)[2, 7]), "$st[2] $size", "$name: the file");
    ok($t->stop(), "$name: stop");
}

# not a file: never followed, never opened for long

my $other = $t->write_file('other', 'precious');

unlink $file;
symlink $other, $file or die "symlink() failed: $!\n";

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'a link');
is($t->read_file($other), 'precious', 'a link: not followed');
ok(!-l $file, 'a link: replaced');
ok($t->stop(), 'stop');

unlink $file;
mkdir $file or die "mkdir() failed: $!\n";

my ($rc, $err) = $t->try_run();

is($rc, 1, 'a directory');
like($err, qr/\[emerg\].*cannot write "$file"/, 'a directory: why');
