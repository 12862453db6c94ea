#!/usr/bin/perl

# Reloads with directories of databases: nothing is started again as long as
# the configuration is the same; what was found stays in the status when it has
# changed; a directory that is not configured any more is not replicated, and a
# quit brings the last commits of all into their replicas.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(25);

my $dir = $t->testdir;

$t->db_dir($_) for qw! t t/x u replica !;

my %db = map { $_ => Test::Litestream::DB->make("$dir/$_", rows => 2) }
    't/one.db', 't/x/two.db', 'u/three.db';

conf('t');
$t->run();

is($t->waitforstate($_, 'replicating'), 'replicating', "$_: replicating")
    for 't/one.db', 't/x/two.db';

my $writer = $db{'t/one.db'}->writer(rate => 30);
my @pids = pids();

ok($t->reload(), 'reload: the same');
is(join(' ', pids()), "@pids", 'the same supervisor and Litestream');
is($t->status('t')->{directories}[0]{databases}, 2, 'the same databases');

# one that comes after it

$db{'t/new.db'} = Test::Litestream::DB->make("$dir/t/new.db", rows => 3);

is($t->waitforstate('t/new.db', 'replicating', 30), 'replicating',
    'a new one is found');
is(join(' ', pids()), "@pids", 'still the same');

# another directory: the configuration has changed; those that were found are
# never missing in the status of the next supervisor

conf('t', 'u');

my $least = 9;

$t->signal('HUP');

ok($t->waituntil(sub {
    my $st = $t->status or return 0;
    my @now = grep { $_->{alias} =~ m!^t/! } @{ $st->{databases} };

    $least = @now if @now < $least;

    return grep { $_->{alias} eq 'u/three.db'
        && $_->{state} eq 'replicating' } @{ $st->{databases} };
}, 40), 'a directory more: its database');
is($least, 3, 'those that were found were always there');

my @next = pids();

isnt($next[0], $pids[0], 'another supervisor');
is(scalar @next, 2, 'one Litestream');
is($t->waitforstate($_, 'replicating'), 'replicating', "$_: replicating")
    for 't/one.db', 't/new.db', 't/x/two.db';

# a pattern that means less

conf_path(t => 't/*.db', u => 'u/**/*.db');
ok($t->reload(), 'reload: another pattern');

ok($t->waituntil(sub {
    my $st = $t->status or return 0;

    return join(' ', sort map { "$_->{alias} $_->{state}" }
        @{ $st->{databases} }) eq 't/new.db replicating t/one.db replicating '
        . 'u/three.db replicating';
}, 40), 'what it does not mean has gone from the status');

$db{'t/x/two.db'}->insert(1, 'unseen');
ok(-e $db{'t/x/two.db'}->path, 'its file is there');

# without the first directory

conf('u');
ok($t->reload(), 'reload: without one');

ok($t->waituntil(sub {
    my $st = $t->status or return 0;

    return join(' ', map { "$_->{alias} $_->{state}" }
        @{ $st->{databases} }) eq 'u/three.db replicating';
}, 40), 'its databases have gone from the status');

my @acked = $writer->stop;

conf('t', 'u');
ok($t->reload(), 'reload: with it again');
is($t->waitforstate('t/one.db', 'replicating', 40), 'replicating',
    'what was written meanwhile is replicated');

$_->insert(1, 'last') for @db{qw! t/one.db t/x/two.db u/three.db !};

is($t->waitforstate('t/x/two.db', 'replicating', 40), 'replicating',
    'all of them');
ok($t->quit(), 'quit');

is(join(' ', grep {
    $db{$_}->restore_count("file://$dir/replica/$_", where => "v = 'last'")
        != 1
} qw! t/one.db t/x/two.db u/three.db !), '', 'the last commits are there');

is(join(' ', $writer->lost(scalar $db{'t/one.db'}->restore(
    "file://$dir/replica/t/one.db"), @acked)), '', 'no commit is missing');


sub pids { return ($t->supervisor_pids, $t->litestream_pids) }

sub conf { conf_path(map { ($_, "$_/**/*.db") } @_) }


sub conf_path {
    my (%path) = @_;

    my $dbs = join "\n", map {
        "    litestream_db $_ %%TESTDIR%%/$path{$_};"
    } sort keys %path;

    $t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
$dbs

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOF
}
