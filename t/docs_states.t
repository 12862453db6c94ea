#!/usr/bin/perl

# The table of states in docs/supervision.md is that of the code.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

sub slurp {
    open my $fh, '<', $_[0] or die "open() $_[0] failed: $!\n";
    local $/;
    return scalar <$fh>;
}

my %letter = (D => 'down', R => 'restoring', S => 'starting', U => 'up',
    P => 'stopping', B => 'backoff', F => 'failed');

my $code = slurp('../ngx_litestream_module/ngx_litestream_verdict.c');
my %code;

while ($code =~ m!/\* (\w+) \*/\s+\{ ([A-Z, ]+) \}!g) {
    my ($state, $next) = ($1, $2);
    $code{$state} = join ' ', map { $letter{$_} } $next =~ /[A-Z]/g;
}

my %docs;

for (split /\n/, slurp('../docs/supervision.md')) {
    my @cell = map { s!^ | $!!gr } grep { defined } (split m!\|!)[1 .. 6];
    next unless @cell == 6 && exists $code{$cell[0]};
    $docs{$cell[0]} = join ' ', @cell[1 .. 5];
}

is(scalar(keys %code), 7, 'states');
is($docs{$_} // 'none', $code{$_}, $_) for sort keys %code;

done_testing();
