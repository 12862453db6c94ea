package Test::Litestream::Command;

# Time limits, users, and programs that are run as one of them.

use warnings;
use strict;

use base qw/ Exporter /;

our @EXPORT_OK = qw/ become ceiling database_user fork_with ids now result
    run_command set_env wait_for waituntil worker_user /;

use POSIX qw/ WNOHANG /;
use Time::HiRes qw/ clock_gettime CLOCK_MONOTONIC /;


sub now { return clock_gettime(CLOCK_MONOTONIC) }

sub ceiling { return $_[0] * ($ENV{TEST_SLOW} || 1) }


# what the condition returns, or 0; looked at again and again

sub waituntil {
    my ($cond, $ceiling, $step) = @_;

    my $end = now() + ceiling($ceiling // 10);

    for ( ;; ) {
        my $rc = $cond->();
        return $rc if $rc;
        return 0 if now() > $end;
        select undef, undef, undef, $step // 0.02;
    }
}


# (name, group, uid, gid): root's tests give databases to nobody, and have
# workers that are somebody else; other users have only themselves

sub database_user {
    my $uid = $> == 0 ? getpwnam('nobody') // 65534 : $>;
    my @pw = getpwuid($uid);
    my $gid = @pw ? $pw[3] : $uid;

    return ($pw[0] // $uid, scalar(getgrgid($gid)) // $gid, $uid, $gid);
}


sub worker_user {
    return database_user() unless $> == 0;

    for (qw/ www-data daemon nginx http /) {
        my @pw = getpwnam($_) or next;
        return ($_, scalar(getgrgid($pw[3])), $pw[2], $pw[3]);
    }

    die "no user for workers\n";
}


# (uid, gid) of a name or a number

sub ids {
    my ($user) = @_;

    my @pw = $user =~ /^\d+$/ ? getpwuid($user) : getpwnam($user);

    return @pw[2, 3] if @pw;
    return ($user, $user) if $user =~ /^\d+$/;
    die "no such user: $user\n";
}


# for a child that is about to do something as somebody else

sub become {
    my ($user) = @_;

    return if $> != 0 || !defined $user;

    my ($uid, $gid) = ids($user);

    $) = "$gid $gid";
    POSIX::setgid($gid);
    POSIX::setuid($uid);

    die "cannot become $user\n" unless $> == $uid && $< == $uid;
}


# undef: is unset

sub set_env {
    my ($env) = @_;

    for (keys %{ $env || {} }) {
        defined $env->{$_} ? ($ENV{$_} = $env->{$_}) : delete $ENV{$_};
    }
}


# a child with other descriptors 0, 1, 2; the sub should end with exec()

sub fork_with {
    my ($io, $sub) = @_;

    my $pid = fork() // die "fork() failed: $!\n";
    return $pid if $pid;

    $SIG{$_} = 'DEFAULT' for qw/ INT TERM HUP ALRM PIPE /;

    for my $fd (0 .. $#$io) {
        POSIX::dup2(fileno($io->[$fd]), $fd) // POSIX::_exit(127);
    }

    no warnings 'exec';
    eval { $sub->() };
    syswrite STDERR, $@ || "exec() failed: $!\n";
    POSIX::_exit(127);
}


# as a shell tells it

sub result { return $_[0] & 127 ? 128 + ($_[0] & 127) : $_[0] >> 8 }


# the exit code; 124: it did not end in time and was killed

sub wait_for {
    my ($pid, $ceiling) = @_;

    my $rc;

    my $done = sub {
        my $ended = waitpid $pid, WNOHANG;
        $rc = result($?) if $ended == $pid;
        return $ended != 0;
    };

    unless (waituntil($done, $ceiling, 0.005)) {
        kill 'KILL', $pid;
        waitpid $pid, 0;
        return 124;
    }

    return $rc // 0;
}


# ({ user, env, stdin, cwd, ceiling }, command, ...), the first may be left
# out: (exit code, stdout, stderr)

sub run_command {
    my $opt = ref $_[0] ? shift : {};
    my @cmd = @_;

    my @io = map {
        open my $f, '+>', undef or die "no temporary file: $!\n";
        $f
    } 0 .. 2;

    syswrite $io[0], $opt->{stdin} // '';
    sysseek $io[0], 0, 0;

    my $pid = fork_with(\@io, sub {
        become($opt->{user});
        set_env($opt->{env});
        chdir($opt->{cwd} // '/');
        exec { $cmd[0] } @cmd;
    });

    my $rc = wait_for($pid, $opt->{ceiling} // 60);

    return ($rc, map { sysseek $_, 0, 0; local $/; <$_> // '' } @io[1, 2]);
}


1;
