package Test::Litestream::Proc;

# What /proc tells about processes: who lives, whose child it is, as whom it
# runs, what it holds open.

use warnings;
use strict;

use base qw/ Exporter /;

our @EXPORT_OK = qw/ alive children cmdline config_of descendants environment
    fds foreign_fds kill_all pids proc_stat proc_status slurp sockets uid_of
    using /;

use File::Basename qw/ basename dirname /;

use Test::Litestream::Command qw/ waituntil /;


sub slurp {
    my ($name) = @_;

    open my $f, '<', $name or return undef;
    local $/;
    return scalar <$f>;
}


sub pids {
    opendir my $d, '/proc' or die "opendir(/proc) failed: $!\n";
    return sort { $a <=> $b } grep { /^\d+$/ } readdir $d;
}


# the name may hold anything, it ends with the last parenthesis

sub proc_stat {
    my ($pid) = @_;

    my $text = $pid ? slurp("/proc/$pid/stat") : undef;
    return undef unless defined $text && $text =~ /^\d+ \((.*)\) (.*)/s;

    my ($name, @f) = ($1, split ' ', $2);

    return {
        pid => $pid, name => $name, state => $f[0], ppid => $f[1],
        pgrp => $f[2], session => $f[3], start => $f[19],
    };
}


# a zombie is not alive: whoever should reap it may never do so

sub alive {
    my $st = proc_stat($_[0]);
    return $st && $st->{state} !~ /[ZX]/ ? 1 : 0;
}


sub cmdline {
    my $text = slurp("/proc/$_[0]/cmdline") // '';
    $text =~ s/\0+$//;
    $text =~ s/\0/ /g;
    return $text;
}


sub environment {
    my $text = slurp("/proc/$_[0]/environ") // '';
    return { map { /^([^=]+)=(.*)/s ? ($1, $2) : () } split /\0/, $text };
}


# living ones, the oldest first

sub children {
    my ($pid) = @_;
    my @st;

    return () unless $pid;

    for (pids()) {
        my $st = proc_stat($_) or next;
        push @st, $st if $st->{ppid} == $pid && $st->{state} !~ /[ZX]/;
    }

    return map { $_->{pid} }
        sort { $a->{start} <=> $b->{start} || $a->{pid} <=> $b->{pid} } @st;
}


sub descendants {
    my ($pid) = @_;
    return map { $_, descendants($_) } children($pid);
}


# all of /proc/PID/status: name => text

sub proc_status {
    my ($pid) = @_;

    my $text = $pid ? slurp("/proc/$pid/status") : undef;
    return undef unless defined $text;
    return { $text =~ /^(\w+):[ \t]*(.*?)[ \t]*$/mg };
}


# uid and gid: real, effective, saved, fs

sub uid_of {
    my ($pid) = @_;

    my $st = proc_status($pid) or return undef;

    return {
        uid => [ split ' ', $st->{Uid} ],
        gid => [ split ' ', $st->{Gid} ],
        groups => [ sort { $a <=> $b } split ' ', $st->{Groups} ],
        capabilities => $st->{CapEff},
    };
}


# descriptors: { fd, target, lock }; lock is "FLOCK" or "POSIX" when the
# descriptor itself holds one.  Names are the process's own: in another mount
# namespace those seen from here begin with its root when that is a chroot's.

sub fds {
    my ($pid) = @_;
    my @fds;

    opendir my $d, "/proc/$pid/fd" or return ();

    my $root = readlink("/proc/$pid/root") // '/';

    for my $fd (sort { $a <=> $b } grep { /^\d+$/ } readdir $d) {
        my $target = readlink "/proc/$pid/fd/$fd";
        next unless defined $target;

        $target =~ s!^\Q$root\E(?=/)!! if $root ne '/';

        my $info = slurp("/proc/$pid/fdinfo/$fd") // '';
        my ($lock) = $info =~ /^lock:\s+\d+:\s+(\w+)/m;

        push @fds, { fd => $fd, target => $target, lock => $lock };
    }

    return @fds;
}


# inode => "unix PATH", "tcp PORT listen", ..., of the process's own namespace

sub sockets {
    my ($pid) = @_;
    my %s;

    for (split /\n/, slurp("/proc/$pid/net/unix") // '') {
        my @f = split ' ', $_, 8;
        $s{$f[6]} = 'unix ' . ($f[7] // '') if @f > 6 && $f[6] =~ /^\d+$/;
    }

    for my $type (qw/ tcp tcp6 udp udp6 /) {
        for (split /\n/, slurp("/proc/$pid/net/$type") // '') {
            my @f = split ' ';
            next unless @f > 9 && $f[1] =~ /:([0-9A-F]+)$/;
            $s{$f[9]} = "$type " . hex($1)
                        . ($f[3] eq '0A' ? ' listen' : '');
        }
    }

    return \%s;
}


# processes that have anything to do with a directory: by command line,
# environment, working directory, executable, an open file

sub using {
    my ($dir) = @_;

    my (%not, @found);
    my $re = qr/\Q$dir\E(?![\w.-])/;

    for (my $pid = $$; $pid; $pid = (proc_stat($pid) || {})->{ppid}) {
        $not{$pid} = 1;
    }

    for my $pid (pids()) {
        next if $not{$pid} || !alive($pid);

        my @names = map { readlink("/proc/$pid/$_") // '' } qw/ cwd exe root /;

        push @names, cmdline($pid), slurp("/proc/$pid/environ") // '';

        push @found, $pid
            if grep { $_ =~ $re } @names, map { $_->{target} } fds($pid);
    }

    return @found;
}


# by pid, never by name

sub kill_all {
    my @pids = grep { $_ > 1 && alive($_) } @_;

    kill 'KILL', $_ for @pids;
    waituntil(sub { !grep { alive($_) } @pids }, 5);
}


# what the litestream.yml of a Litestream names: { file, socket, paths }

sub config_of {
    my ($pid) = @_;

    my ($name) = cmdline($pid) =~ / -config(?:=| )(\S+)/;
    my $text = slurp($name // '') // '';

    my @paths;

    while ($text =~ m!\b(?:path|dir|url)["']?:\s*
        (?:"((?:[^"\\]|\\.)*)"|["']?(/[^"'\n,}]+))!gx)
    {
        my $path = defined $1 ? unescape($1) : $2;

        $path =~ s!^file://!!;
        push @paths, $path if $path =~ m!^/!;
    }

    return { file => $name, paths => \@paths,
             socket => (grep { /\.sock$/ } @paths)[0] // undef };
}


# a text of YAML in double quotes, as bytes

sub unescape {
    my ($text) = @_;

    my %is = (n => "\n", t => "\t", e => "\e", 0 => "\0");

    $text =~ s{\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))}{
        my $code = $1 // $2 // $3;
        my $ch = defined $code ? chr hex $code : $is{$4} // $4;
        utf8::encode($ch) if defined $code;
        $ch;
    }ge;

    return $text;
}


# Descriptors of a Litestream that are not its own: its own are /dev/null, both
# ends of its log, locked directories, its databases, its sockets, and what Go
# needs.  What nginx (the pids) has open, too, is not its own.

sub foreign_fds {
    my ($pid, @nginx) = @_;

    my $conf = config_of($pid);
    my $sockets = sockets($pid);
    my (%shared, %one, @bad);

    for (map { fds($_) } grep { $_ != $pid } @nginx) {
        $shared{$_->{target}} = 1 if $_->{target} =~ /^(socket|pipe):/;
    }

    my @fds = fds($pid);
    my %log = map { $_->{target} => 1 }
        grep { $_->{fd} =~ /^[12]$/ && $_->{target} =~ /^pipe:/ } @fds;

    for (@fds) {
        my ($fd, $name) = @$_{qw/ fd target /};
        $name =~ s/ \(deleted\)$//;

        my $ok = $fd == 0 ? $name eq '/dev/null'
            : $fd <= 2 ? $log{$name}
            : $name =~ /^pipe:/ ? $log{$name} || !$shared{$name}
            : $name =~ /^anon_inode:\[(eventpoll|eventfd)\]/ ? !$one{$1}++
            : $name =~ /^anon_inode:\[?(inotify|pidfd)/ ? 1
            : $name =~ /^socket:\[(\d+)\]/
                ? !$shared{$name} && own_socket($sockets->{$1}, $conf)
            : -d $name ? ($_->{lock} // '') eq 'FLOCK'
            : $name =~ m!^/(sys|proc)/|^/dev/(null|u?random)$!
                || own_file($name, $conf);

        push @bad, "$fd -> $_->{target}" unless $ok;
    }

    return @bad;
}


sub own_socket {
    my ($what, $conf) = @_;

    return 1 unless defined $what && $what =~ /^unix (.*)/;
    return $1 eq ($conf->{socket} // '');
}


# a path of the configuration, what SQLite keeps beside it, or what is below it
# or its meta directory; what it uploads by WebDAV is beside its socket

sub own_file {
    my ($name, $conf) = @_;

    my $own = $conf->{own} //= { map { ($_ => 1,
        dirname($_) . '/.' . basename($_) . '-litestream' => 1) }
        @{ $conf->{paths} } };

    return 1 if $own->{ $name =~ s/-(wal|shm|journal)$//r };
    return 1 if dirname($name) eq dirname($conf->{socket} // '/')
        && basename($name) =~ /^litestream-webdav-/;

    while ($name =~ s!/[^/]*$!!) {
        return 1 if $own->{$name};
    }

    return 0;
}


1;
