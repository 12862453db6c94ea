#!/usr/bin/perl

# A Litestream that is too old, or a program that is none: nginx does not
# start, and says what it found.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(54);

my $dir = $t->testdir;
my $bin = $t->fake();

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

        location /litestream/ {
            litestream_api;
        }
    }
}

EOC

my $db = $t->db('app', rows => 3);
my $replica = $t->db_dir('replica');

# too old: with a database that is present, too, since it would be replicated

my $needed = '0.5.8 or newer is needed, or 0.3.13';

for my $version (qw/ 0.3.12 v0.3.9 0.4.0 0.5.0 0.5.7 v0.5.6 /) {
    my $number = $version =~ s/^v//r;

    refused($version,
        qr/"\Q$bin\E" is Litestream \Q$number\E, \Q$needed\E/,
        "version $version");
}

# something else

refused('another program', qr/"\Q$bin\E version" says "hello": is it Litest/,
    'version hello');
refused('nothing', qr/"\Q$bin\E version" (failed|says "")/, 'version: exit 0');
refused('an error', qr/"\Q$bin\E version" failed: no such command/,
    'version: stderr no such command', 'version: exit 1');
refused('a crash', qr/"\Q$bin\E version" failed/, 'version: kill SEGV');
refused('silence', qr/"\Q$bin\E version" has not answered in 30 s/,
    'version: hang');

# good enough: what is there is used

for my $version (qw/ 0.5.8 v0.5.17 0.6.0 1.0.0-rc1 /,
    '(development build)')
{
    $t->fake_mode("version $version");

    my ($rc, $err) = $t->try_run();

    is($rc, 0, "$version: nginx starts") or diag($err);
    is($t->status()->{litestream}[0]{version}, $version =~ s/^v//r,
        "$version: status");

    $t->stop();
}


sub refused {
    my ($name, $why, @mode) = @_;

    $t->fake_mode(@mode);
    $t->write_file('fake/calls', '');

    my $before = $t->tree($db->dir);
    my ($rc, $err) = $t->try_run(ceiling => 60);

    isnt($rc, 0, "$name: nginx does not start");
    like($err, qr/\[emerg\] litestream: $why/, "$name: it says why");
    is_deeply($t->tree($db->dir), $before, "$name: nothing was touched");
    is(join(' ', map { $_->[2] } $t->fake_calls), 'version',
        "$name: it was only asked");
}
