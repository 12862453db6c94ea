#!/usr/bin/perl

# A regular expression that takes for ever with some names, which anybody may
# make up who has a directory there: these names are told, and the others are
# found.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(6);

my $dir = $t->testdir;
my $names = 40;

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       t "~^%%TESTDIR%%/t/(?:[a-z/]+)+\.db$";
    litestream_db       u %%TESTDIR%%/t/u/*.db;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

$t->db_dir($_) for qw! t t/u replica !;

my $db = Test::Litestream::DB->make("$dir/t/good.db", rows => 3);

# the second ones are compared by the supervisor as well, since the first
# directory may mean them

$db->sql("VACUUM INTO '$dir/t/$_.db'")
    for map { (('a' x 60) . "-$_", 'u/' . ('a' x 60) . "-$_") } 1 .. $names;

$t->run();

is($t->waitforstate('t/good.db', 'replicating', 60), 'replicating',
    'the other one is found');

ok($t->waituntil(sub {
    return $names == grep { /^u\// && $_ } map { $_->{alias} }
        grep { $_->{state} eq 'replicating' }
        @{ ($t->status || {})->{databases} || [] };
}, 60), 'so are those of the other directory');

my %d = map { $_->{alias} => $_ } @{ $t->status->{directories} };

is($d{t}{error} =~ s/^"[^"]+" //r, 'takes too long to be compared with the '
    . 'regular expression; and ' . (2 * $names - 1) . ' more',
    'what takes too long is told');
is($d{t}{databases}, 1, 'it is not taken');
is($d{u}{error}, undef, 'nothing is wrong with the others');
is(scalar(my @killed = $t->read_log(qr/\[(error|crit|emerg)\]/)), 0,
    'no error');
