#!/usr/bin/perl

# A directory of databases with Litestream 0.3.13, which has to be started anew
# for each that comes or goes: nothing of the others is lost by that, and what
# is gone is not replaced by another one of its name.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use File::Path qw/ remove_tree /;
use Test::Litestream;
use Test::Litestream::DB;

my $t = Test::Litestream->new()->has(qw/http/)->old()
    ->has_daemon(qw/litestream sqlite3/)->plan(44);

my $dir = $t->testdir;

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       t %%TESTDIR%%/t/**/*.db;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOF

$t->db_dir($_) for qw! t t/sub replica !;

my $old = make('old', 5);

$t->run();

is($t->waitforstate('t/old.db', 'replicating', 30), 'replicating',
    'one is there');
is($old->restore_count(replica('old')), 5, 'its backup');

my ($pid) = $t->litestream_pids;
my $writer = $old->writer(rate => 20);

$writer->wait(20);

# others come, while a sync of the first one is waited for

my @new = map { make("sub/new$_", 10 + $_) } 1 .. 2;

for (1 .. 2) {
    is($t->waitforstate("t/sub/new$_.db", 'replicating', 40), 'replicating',
        "new$_: replicating");
    is($new[$_ - 1]->restore_count(replica("sub/new$_")), 10 + $_,
        "new$_: its backup");
}

isnt(join(' ', $t->litestream_pids), $pid, 'another Litestream has them');
is(scalar $t->litestream_pids, 1, 'and only that');

$new[1]->insert(1, 'later');
is(synced('t/sub/new2.db'), 200, 'a commit: synced');
is($new[1]->restore_count(replica('sub/new2'), where => "v = 'later'"), 1,
    'a commit: in the backup');

# one that is asked for before it is replicated

my $late = make('late', 7);

ok($t->waituntil(sub { $t->database('t/late.db') }, 30), 'late: found');
is(synced('t/late.db'), 200, 'late: synced');
is($late->restore_count(replica('late')), 7, 'late: its backup');

# one goes away, another one of its name comes

$new[0]->remove;
is($t->waitforstate('t/sub/new1.db', 'error', 30), 'error', 'deleted: state');
like($t->database('t/sub/new1.db')->{error}, qr/was deleted|is missing/,
    'deleted: why');

my $other = make('sub/new1', 2);

ok($t->waituntil(sub {
    return ($t->database('t/sub/new1.db')->{error} // '')
        =~ /does not continue replica/;
}, 40), 'another one of that name: a conflict')
    or diag(explain($t->database('t/sub/new1.db')));
is($other->restore_count(replica('sub/new1')), 11,
    'another one: the backup is as it was');

is($t->waitforstate('t/sub/new2.db', 'replicating', 40), 'replicating',
    'the others go on');

# nothing of the one that was written to all the time is missing

my @acked = $writer->stop;

is(synced('t/old.db'), 200, 'the first one: synced');
is(join(' ', $writer->lost($old->restore(replica('old')), @acked)), '',
    'the first one: no commit is missing');

# the machine is lost

ok($t->quit(), 'quit');

my %rows = (old => $old->count, 'sub/new2' => 13, late => 7, 'sub/new1' => 11);

remove_tree("$dir/t/sub");
$_->remove for grep { -e $_->path } $old, $late;
$t->db_dir('t/sub');

$t->run();

is(join(' ', map { "$_=" . count($_) } sort keys %rows),
    join(' ', map { "$_=$rows{$_}" } sort keys %rows), 'all are restored');

is($t->waitforstate("t/$_.db", 'replicating', 40), 'replicating',
    "$_: replicating again") for sort keys %rows;
ok($t->quit(), 'quit');

# 0.5 goes on with them, those that are missing included

Test::Litestream::DB->new("$dir/t/$_.db")->remove for qw! late sub/new1 !;

$t->old(0);
$t->run();

for my $name (sort keys %rows) {
    my $db = Test::Litestream::DB->new("$dir/t/$name.db");

    is($t->waitforstate("t/$name.db", 'replicating', 40), 'replicating',
        "$name: replicated by 0.5");
    is($db->insert(1), $rows{$name} + 1, "$name: rows");
    is(synced("t/$name.db"), 200, "$name: synced");
    is($db->restore_count(replica($name)), $rows{$name} + 1,
        "$name: they are there");
}

ok($t->quit(), 'quit');


sub make {
    my ($name, $rows) = @_;
    return Test::Litestream::DB->make("$dir/t/$name.db", rows => $rows);
}


sub count {
    my ($name) = @_;
    return -e "$dir/t/$name.db"
        ? Test::Litestream::DB->new("$dir/t/$name.db")->count : 'none';
}


sub synced {
    my ($alias) = @_;
    my $r = response(http_post("/litestream/sync/$alias?timeout=30s"));
    diag($r->{body}) if $r->{status} != 200;
    return $r->{status};
}


sub replica { return "file://$dir/replica/t/$_[0].db" }
