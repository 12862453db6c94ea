package Test::Litestream::Server;

# What the storages of the tests have in common: a process that serves on a
# port, with its files in a directory below that of the test, that is started,
# stopped, and stopped in the middle of everything.
#
# A storage is a subclass with these methods:
#
#   command()        variables of its environment, { }, and the program with its
#                    arguments
#   ready()          true: it can be used (it takes connections already)
#   replica(PATH)    keys and values of a replica in a litestream.yml
#   env()            variables that Litestream needs for it, { }

use warnings;
use strict;

use Cwd qw/ abs_path /;

use Test::Litestream::Command qw/ fork_with set_env wait_for /;
use Test::Litestream::DB;
use Test::Litestream::HTTP qw/ port /;


my $root = abs_path(__FILE__) =~ s!/t/lib/Test/Litestream/Server\.pm$!!r;
my $servers = 0;


# one that is not started yet.  name: of the storage; n: the how manieth it is
# (of any storage); dir, with data in it; port => N: that of %%PORT_N%%

sub create {
    my ($class, $t, $name, %opt) = @_;

    my $n = ++$servers;

    my $self = bless {
        test => $t,
        name => $name,
        n => $n,
        port => port($opt{port} // 8900 + $n),
        dir => "$t->{testdir}/$name-$n",
    }, $class;

    mkdir $self->{dir} or die "mkdir($self->{dir}) failed: $!\n";
    mkdir "$self->{dir}/data" or die "mkdir() failed: $!\n";

    return $self;
}


# a program that "make" installs, in build/; env: the variable that names
# another one

sub program {
    my ($class, $name, $env) = @_;

    my $bin = ($env && $ENV{$env}) || "$root/build/$name";

    -x $bin or die "$bin was not found: make build/" . ($name =~ s!/.*!!r)
        . "\n";
    return $bin;
}


sub addr { return "127.0.0.1:$_[0]{port}" }


# its pid; what it holds is what it held

sub start {
    my ($self) = @_;

    my $dir = $self->{dir};

    return $self->{pid} if $self->{pid};

    open my $null, '<', '/dev/null' or die "open(/dev/null) failed: $!\n";
    open my $log, '>>', "$dir/log" or die "open($dir/log) failed: $!\n";

    my ($env, @command) = $self->command;

    my $pid = fork_with([$null, $log, $log], sub {
        set_env({ HOME => $dir, %$env });
        chdir $dir;
        exec { $command[0] } @command;
    });

    $self->{pid} = $pid;
    push @{ $self->{test}{daemons} }, $pid;

    $self->{test}->waitforsocket($self->addr, 30)
        && $self->{test}->waituntil(sub { $self->ready }, 30)
        or die "$command[0] does not serve: " . $self->log;

    return $pid;
}


sub ready { return 1 }


# KILL as when a machine has gone, STOP: it hangs, CONT

sub signal {
    my ($self, $sig) = @_;
    return kill $sig, $self->{pid};
}


sub stop {
    my ($self, $sig) = @_;

    my $pid = delete $self->{pid} or return;
    my $t = $self->{test};

    $t->{daemons} = [ grep { $_ != $pid } @{ $t->{daemons} } ];

    kill $sig // 'KILL', $pid;
    return wait_for($pid, 10);
}


sub log { return $_[0]{test}->read_file("$_[0]{dir}/log") // '' }


# names of files below a path of its data

sub files {
    my ($self, $path) = @_;

    my @dirs = "$self->{dir}/data/$path";
    my @names;

    while (defined(my $d = shift @dirs)) {
        opendir my $h, $d or next;

        for (grep { !/^\.\.?$/ } readdir $h) {
            -d "$d/$_" ? push @dirs, "$d/$_" : push @names, "$d/$_";
        }
    }

    return sort map { s!^\Q$self->{dir}\E/data/!!r } @names;
}


# What a restore by Litestream itself brings back from the replica there, by a
# litestream.yml that has nothing to do with ours: rows of t, where => SQL; -1:
# it does not work

sub restore_count {
    my ($self, $path, %opt) = @_;

    my $t = $self->{test};
    my %keys = $self->replica($path);

    # as Litestream 0.3 has it

    $keys{type} =~ s/^gs$/gcs/ if $t->{old};

    my $yml = $t->write_file("restore-$self->{n}.yml", join "\n",
        'dbs:', '  - path: /nonexistent/db.sqlite3',
        $t->{old} ? "    replicas:\n    -" : '    replica:',
        (map { "      $_: \"$keys{$_}\"" } sort keys %keys), '');

    return Test::Litestream::DB->new('/nonexistent/db.sqlite3')->restore_count(
        '/nonexistent/db.sqlite3', env => $self->env,
        args => ['-no-expand-env', '-config', $yml], %opt);
}


sub env { return {} }


1;
