#!/usr/bin/perl

# A storage that does not answer is not an empty one: nginx does not start
# when a database is missing then, at the latest after the timeout, with what
# Litestream said itself, and has made nothing.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(36);

my $dir = $t->testdir;

# this is what Litestream says of storages that are not there; it takes two
# minutes to say the first

my $s3 = 'operation error S3: ListObjectsV2, exceeded maximum number of '
    . 'attempts, 10, https response error StatusCode: 0';
my $sftp = 'dial tcp 192.0.2.1:22: connect: connection refused';
my $none = 'no matching backup files available';

$t->fake();
conf('timeout=60s');

my $replica = $t->db_dir('replica') . '/app';
my $db = $t->db('app', rows => 3);

$db->replicate("file://$replica");
$db->remove();

# its list

refused('list', $s3, "ltx: stderr Error: $s3", 'ltx: exit 1');
refused('list, several lines', $sftp, 'ltx: stderr SDK WARN something',
    "ltx: stderr Error: $sftp", 'ltx: exit 1');
refused('list without a reason', 'cannot be read', 'ltx: exit 1');
refused('list, a signal', 'cannot be read', 'ltx: kill KILL');
refused('list is garbage', 'cannot be understood', 'ltx: stdout [{"level":',
    'ltx: exit 0');

# within the timeout

conf('timeout=2s');

refused('list hangs', "no answer within the timeout: retrying $sftp",
    "ltx: stderr retrying $sftp", 'ltx: hang');

refused('restore hangs',
    "made no progress within 2 s: retrying $sftp", "restore: stderr $s3",
    "restore: stderr retrying $sftp", 'restore: hang');

conf('timeout=60s');

# an empty list is no proof, as long as the restore says something else

refused('empty list', $sftp, 'ltx: stdout []', 'ltx: exit 0',
    "restore: stderr Error: $sftp", 'restore: exit 1');
refused('empty list, nothing restored', 'no reason given', 'ltx: stdout []',
    'ltx: exit 0', 'restore: exit 1');

# neither is "none" when the list is not empty

refused('restore', $s3, "restore: stderr Error: $s3", 'restore: exit 1');
refused('restore says none', "damaged: $none",
    "restore: stderr Error: $none", 'restore: exit 1');
refused('restore makes nothing', 'No such file', 'restore: exit 0');


sub refused {
    my ($name, $why, @mode) = @_;

    $t->fake_mode(@mode);

    my $before = $t->tree($db->dir);
    my ($rc, $err) = $t->try_run();

    isnt($rc, 0, "$name: nginx does not start");
    like($err, qr/\[emerg\] litestream: database "app": .*\Q$why\E/,
        "$name: it says why");
    is_deeply($t->tree($db->dir), $before, "$name: nothing was made");

    $t->stop() unless $rc;
}


sub conf {
    my ($restore) = @_;

    $t->write_file_expand('nginx.conf', <<"EOC");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_restore  blocking $restore;
    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;

    server {
        listen  127.0.0.1:8080;
    }
}

EOC
}
