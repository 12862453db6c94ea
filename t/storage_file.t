#!/usr/bin/perl

# A replica in a folder: the example of docs/replicas.md as it stands there.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Docs;
use Test::Litestream::Remote;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(19);

my $r = Test::Litestream::Remote->new($t, bless({}, 'Folder'), 'app');

$t->db_dir('backup');
Test::Litestream::Docs->conf($t, 'A folder');

$r->cycle('file', 'file://' . $t->testdir . '/backup/app');

is($t->stop(), 1, 'stop');


package Folder;

# what Test::Litestream::Remote asks a storage for

sub restore_count {
    my ($self, $path) = @_;

    return $r->db->restore_count('file://' . $t->testdir . "/backup/$path");
}
