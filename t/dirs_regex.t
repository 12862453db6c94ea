#!/usr/bin/perl

# A regular expression as the path of databases: they are found at a start and
# at a reload, and its named groups say where each is replicated to.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(33);

my $dir = $t->testdir;

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;

    litestream_db  t "~^%%TESTDIR%%/t/(?<name>[a-z]+)/(?<kind>main|log)\.db$"
                   replica=file://%%TESTDIR%%/replica/$kind/of-$name/$name;
    litestream_db  plain "~^%%TESTDIR%%/p/([a-z]+/)?(?i:[a-z0-9]+\.DB)$";
    litestream_db  one "~^%%TESTDIR%%/one/(?<id>\d*)x(-old)?\.db$"
                   replica=file://%%TESTDIR%%/replica/one/$id;
    litestream_db  all %%TESTDIR%%/all/*.db;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOF

$t->db_dir($_) for qw! t t/acme t/acme/sub t/beta t/Beta p p/sub p/.sub one
    all replica !;

my %db = map { $_ => make($_, length) } qw! t/acme/main t/acme/log t/beta/main
    p/A p/sub/b one/7x one/8x !;

# what is not meant

make($_, 1) for qw! t/acme/main2 t/acme/sub/main t/Beta/main p/.sub/c one/x
    p/.d !;
make('p/e', 1, '.dbx');

$t->run();

my %replica = (
    't/acme/main' => 'main/of-acme/acme', 't/acme/log' => 'log/of-acme/acme',
    't/beta/main' => 'main/of-beta/beta', 'p/A' => 'plain/A.db',
    'p/sub/b' => 'plain/sub/b.db', 'one/7x' => 'one/7', 'one/8x' => 'one/8',
);

for (sort keys %replica) {
    is($t->waitforstate(name($_), 'replicating'), 'replicating',
        "$_: replicating");
    is($db{$_}->restore_count("file://$dir/replica/$replica{$_}"), length,
        "$_: where its groups say");
}

my $st = $t->status;

is(join(' ', sort map { $_->{alias} } @{ $st->{databases} }),
    join(' ', sort map { name($_) } keys %replica), 'these and no others');

my %d = map { $_->{alias} => $_ } @{ $st->{directories} };

is("@{ $d{t} }{qw/ path state databases /}",
    "~^$dir/t/(?<name>[a-z]+)/(?<kind>main|log)\\.db\$ found 3",
    'the directory');
is($d{t}{error}, undef, 'nothing is wrong with it');
like($d{one}{error}, qr/^"x\.db" has a replica whose path has an empty part/,
    'a group that is empty: told');
is($t->api('verify/t/acme/main.db', method => 'POST', body => '')->{verified},
    1, 'verified');

# A new one waits for a reload, as others do not.  Two looks at "all" that
# began after it was made: it has not been found by any.

my ($pid) = $t->litestream_pids;
my $super = $t->supervisor_pid;

$db{'t/beta/log'} = make('t/beta/log', 9);

for (1, 2) {
    make("all/$_", 1);
    is($t->waitforstate("all/$_.db", 'replicating', 30), 'replicating',
        "$_: found meanwhile");
}

is($t->database('t/beta/log.db'), undef, 'a new one: not yet');

# two with the same values would be replicated to one place

make('one/7x-old', 3);

ok($t->reload(), 'reload');
is($t->waitforstate('t/beta/log.db', 'replicating', 30), 'replicating',
    'a new one: found at a reload');
is($db{'t/beta/log'}->restore_count(
    "file://$dir/replica/log/of-beta/beta"), 9, 'a new one: its backup');

ok($t->waituntil(sub {
    return (directory('one')->{error} // '') =~ /; and 1 more$/;
}), 'a second one with the same values: told');

ok(scalar(my @told = $t->read_log(qr/directory "one": "x\.db" has a replica/)),
    'in the log');
is($t->database('one/7x-old.db'), undef, 'it is not taken');
is($db{'one/7x'}->restore_count("file://$dir/replica/one/7"), 6,
    'the first one has its backup');
is($t->database('one/7x.db')->{state}, 'replicating', 'and keeps it');
is(join(' ', $t->litestream_pids, $t->supervisor_pid), "$pid $super",
    'the same Litestream and supervisor');

# Lost: what the replica lists is restored; where it cannot be told which
# database a backup is of, what was seen before.

ok($t->quit(), 'quit');

$_->remove for @db{qw! t/acme/main p/A p/sub/b one/8x !};
rmdir "$dir/p/sub";

$t->run();

is(join(' ', map { $db{$_}->count } qw! t/acme/main p/A p/sub/b one/8x !),
    '11 3 7 6', 'lost ones are restored');


sub make {
    my ($name, $rows, $ext) = @_;

    $ext //= '.db';
    return Test::Litestream::DB->make("$dir/$name$ext", rows => $rows);
}


# "p" is what "plain" looks at

sub name { return ($_[0] =~ s!^p/!plain/!r) . '.db' }


sub directory {
    my ($alias) = @_;
    return (grep { $_->{alias} eq $alias }
        @{ ($t->status || {})->{directories} || [] })[0] || {};
}
