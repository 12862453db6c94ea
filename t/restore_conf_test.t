#!/usr/bin/perl

# "nginx -t" and "-s" while another nginx restores at its start: they start
# nothing, write nothing, and do not disturb it.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(12);

my $dir = $t->testdir;

$t->fake('restore: partial 1000', 'restore: await go');

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

my $db = $t->db('app', rows => 10);

$t->db_dir('replica');
$db->replicate("file://$dir/replica/app");
$db->remove();

my $temp = $db->path =~ s!([^/]+)$!.$1.ngx-litestream-restore.tmp!r;

$t->try_run(nowait => 1);
ok($t->waituntil(sub { -s $temp }), 'the restore runs');

my $before = tree();

for my $args ([ '-t' ], [ '-T' ]) {
    my ($rc, $out) = $t->nginx(@$args);

    is($rc, 0, "nginx @$args") or diag($out);
    is_deeply(tree(), $before, "nginx @$args: no trace");
}

my ($rc, $out) = $t->nginx('-s', 'stop');

isnt($rc, 0, 'nginx -s stop: there is none yet');
is_deeply(tree(), $before, 'nginx -s stop: no trace');
is(scalar(grep { $_->[2] =~ /^restore/ } $t->fake_calls), 1, 'one restore');

# the restore was not disturbed

$t->write_file('fake/go', '');

ok($t->waituntil(sub { defined($rc = $t->started) }, 20), 'nginx runs');
is($rc, 0, 'it started');
is($db->count, 10, 'rows');
is(join(' ', $db->beside), '', 'nothing beside it');


sub tree {
    my $tree = $t->tree;

    my $own = qr!/(\w+\.log|nginx\.pid|\w+_temp)(/|$)!;
    delete @$tree{ grep { /^\Q$dir\E$own/ } keys %$tree };

    # the heartbeat

    delete $tree->{$t->state_path . '/status'};

    return $tree;
}
