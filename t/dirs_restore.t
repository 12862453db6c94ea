#!/usr/bin/perl

# A directory of databases on a machine that has lost them: what the replica
# holds is back before nginx answers, with the directories that it was in; what
# was new is left alone.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use File::Path qw/ remove_tree /;
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(25);

my $dir = $t->testdir;

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       t %%TESTDIR%%/t/**/*.db mode=0600;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOF

$t->db_dir($_) for qw! t t/x t/x/y replica !;
chmod 0750, "$dir/t";

my @names = ('a', 'x/b', 'x/y/c');
my %db = map { $_ => Test::Litestream::DB->make("$dir/t/$_.db",
        rows => length $_) } @names;
my $user = $db{a}->user;

$t->run();

is($t->waitforstate("t/$_.db", 'replicating'), 'replicating',
    "$_: replicating") for @names;

$t->quit();

# all of it is lost, and what nginx has known of it, too; in the replica there
# is what is no backup of this directory

remove_tree("$dir/t/x", "$dir/s", { keep_root => 0 });
$db{a}->remove;

my ($rc, $out, $err) = $t->as_user($user, 'sh', '-c',
    "cd $dir/replica && mkdir -p t/empty.db/ltx/0 t/.dot.db"
    . ' && cp -R t/a.db t/a.txt && cp -R t/a.db t/.dot.db/x.db'
    . ' && cp -R t/a.db other.db && cp -R t/a.db t/a.db-wal');
is($rc, 0, 'what is in the replica besides') or diag($err);

$t->run();

is(response(http_get('/litestream/ready'))->{status}, 200, 'ready at once');
is($db{$_}->count, length $_, "$_: restored") for @names;

my $st = $t->status('t');

is(join(' ', sort map { $_->{alias} } @{ $st->{databases} }),
    join(' ', map { "t/$_.db" } @names), 'these and no others');
is(join(' ', map { $_->{restore}{state} } @{ $st->{databases} }),
    'done done done', 'their restores are told');
ok(!-e "$dir/t/$_", "no $_") for qw! a.txt empty.db .dot.db !;

is(sprintf('%o %d', (stat "$dir/t/x/y")[2, 4]), '40750 '
    . (stat "$dir/t")[4], 'a directory is as the one above');
is(sprintf('%o %d', (stat $db{'x/b'}->path)[2, 4]), '100600 '
    . (stat "$dir/t")[4], 'mode and owner of a file');

is($t->waitforstate("t/$_.db", 'replicating'), 'replicating',
    "$_: replicating again") for @names;

$db{'x/b'}->insert(1, 'after');
is($t->api('sync/t/x/b.db', method => 'POST', body => '')->{synced}, 1,
    'sync');
is($db{'x/b'}->restore_count("file://$dir/replica/t/x/b.db",
    where => "v = 'after'"), 1, 'the backup goes on');

# one is lost, the replica has another one, and there is a new one here

$t->quit();

$db{a}->remove;
my $new = Test::Litestream::DB->make("$dir/t/new.db", rows => 9);

$t->run();

is($db{a}->count, 1, 'one is restored');
is($t->waitforstate('t/new.db', 'replicating'), 'replicating',
    'one is new');
is($new->count, 9, 'one is new: it was left alone');
is(scalar(my @lines = $t->read_log(qr/"t\/x\/b.db" was restored/)), 1,
    'what is here is not restored');
is(join("\n", $t->read_log(qr/\[(error|crit|emerg)\]/)), '', 'no error');
