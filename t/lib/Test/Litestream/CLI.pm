package Test::Litestream::CLI;

# The command: TEST_NGINX_COMMAND, else build/nginx-litestream.

use warnings;
use strict;

use base qw/ Exporter /;

our @EXPORT = qw/ cli cli_path cli_start /;

use Cwd qw/ abs_path /;
use File::Copy qw/ copy /;

use Test::Litestream::Command qw/ become fork_with run_command set_env /;


my $root = abs_path(__FILE__) =~ s!/t/lib/Test/Litestream/CLI\.pm$!!r;


# in a place where every user can run it

sub cli_path {
    my ($t) = @_;

    my $path = $ENV{TEST_NGINX_COMMAND} || "$root/build/nginx-litestream";
    my $copy = $t->testdir . '/nginx-litestream';

    unless (-f $copy) {
        copy($path, $copy) or die "copy($path) failed: $!\n";
        chmod 0755, $copy;
    }

    return $copy;
}


# ($t, { user, env, ceiling }, arguments): (exit code, stdout, stderr); the
# state path is the test's unless state => 0

sub cli {
    my ($t, @args) = @_;

    my $opt = ref $args[0] ? shift @args : {};

    return run_command(_opt($t, $opt), cli_path($t), @args);
}


sub _opt {
    my ($t, $opt) = @_;

    my %env = (LITESTREAM_STATE_PATH => $t->state_path, %{ $opt->{env} || {} });

    delete $env{LITESTREAM_STATE_PATH} if defined $opt->{state};
    $env{LITESTREAM_STATE_PATH} = undef if defined $opt->{state};

    return { %$opt, env => \%env };
}


# one that goes on: (pid, sub that gives what it has said on stderr so far)

sub cli_start {
    my ($t, @args) = @_;

    my $opt = _opt($t, ref $args[0] ? shift @args : {});
    my $path = cli_path($t);

    open my $null, '+<', '/dev/null' or die "open(/dev/null) failed: $!\n";
    open my $err, '+>', undef or die "no temporary file: $!\n";

    my $pid = fork_with([$null, $null, $err], sub {
        become($opt->{user});
        set_env($opt->{env});
        exec { $path } $path, @args;
    });

    return ($pid, sub {
        open my $f, '<', '/proc/self/fd/' . fileno $err
            or die "open() failed: $!\n";
        local $/;
        return scalar(<$f>) // '';
    });
}


1;
