package Test::Litestream::SSH;

# A storage that speaks SFTP: OpenSSH's sshd, where whoever runs the test logs
# in with a key, or "rclone serve sftp" (password => 1), which knows one user
# and a password.  What they store is below that user's data directory.
#
#   TEST_RCLONE    build/rclone

use warnings;
use strict;

use base qw/ Test::Litestream::Server /;

use Test::Litestream::Command qw/ database_user run_command waituntil /;
use Test::Litestream::Proc;


# one that is not started yet.  port => N: that of %%PORT_N%%; password => 1, of
# user => NAME

sub new {
    my ($class, $t, %opt) = @_;

    my $self = $class->create($t, 'sftp', %opt);
    my $dir = $self->{dir};

    if ($opt{password}) {
        $self->{bin} = $class->program('rclone', 'TEST_RCLONE');
        $self->{user} = $opt{user} // "user$self->{n}";
        $self->{password} = "p\@ss:w/rd#%41?&\$HOME-$self->{n}";

    } else {
        ($self->{bin}) = grep { -x } '/usr/sbin/sshd', '/usr/bin/sshd'
            or die "sshd was not found: make test-servers\n";
        $self->{user} = getpwuid $>;
    }

    $self->key($_) for qw/ hostkey id /;

    $t->write_file("$dir/authorized_keys", $t->read_file("$dir/id.pub"));

    # who connects is the user of the database

    my (undef, undef, $uid, $gid) = database_user();

    chown $uid, $gid, "$dir/id" if $> == 0;
    chmod 0755, $dir;

    $t->write_file("$dir/sshd_config", <<"EOF");
Port $self->{port}
ListenAddress 127.0.0.1
HostKey $dir/hostkey
PidFile none
AuthorizedKeysFile $dir/authorized_keys
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
Subsystem sftp internal-sftp
LogLevel VERBOSE
EOF

    # of privilege separation; the package makes it when the service starts

    mkdir '/run/sshd' if $> == 0 && !-d '/run/sshd';

    return $self;
}


# a new pair, NAME and NAME.pub in its directory

sub key {
    my ($self, $name) = @_;

    my ($rc, undef, $err) = run_command('ssh-keygen', '-q', '-t', 'ed25519',
        '-N', '', '-C', 'test', '-f', "$self->{dir}/$name");
    die "ssh-keygen: $err\n" if $rc;

    return "$self->{dir}/$name";
}


sub user { return $_[0]{user} }
sub password { return $_[0]{password} }
sub key_path { return "$_[0]{dir}/id" }

sub host_key {
    my ($self) = @_;
    return join ' ', (split ' ',
        $self->{test}->read_file("$self->{dir}/hostkey.pub"))[0, 1];
}


# sshd shows the whole file system, rclone its data directory

sub path {
    my ($self, $path) = @_;
    return $self->{password} ? "/$path" : "$self->{dir}/data/$path";
}


sub command {
    my ($self) = @_;

    return ({}, $self->{bin}, qw/ -D -e -f /, "$self->{dir}/sshd_config")
        unless $self->{password};

    return ({ RCLONE_USER => $self->{user}, RCLONE_PASS => $self->{password} },
        $self->{bin}, qw/ serve sftp /, "$self->{dir}/data", '--addr',
        $self->addr, '--key', "$self->{dir}/hostkey", '--config',
        "$self->{dir}/rclone.conf", '--cache-dir', "$self->{dir}/cache",
        qw/ --vfs-cache-mode off /);
}


# each connection is a process of its own

sub signal {
    my ($self, $sig) = @_;

    my @pids = ($self->{pid},
        Test::Litestream::Proc::descendants($self->{pid}));

    return kill $sig, @pids;
}


sub stop {
    my ($self, $sig) = @_;

    my $pid = $self->{pid} or return;
    my @children = Test::Litestream::Proc::descendants($pid);

    # what was stopped is not killed before it goes on

    my $rc = $self->SUPER::stop($sig);

    kill 'KILL', @children;
    waituntil(sub {
        !grep { Test::Litestream::Proc::alive($_) } @children;
    }, 5);

    return $rc;
}


sub replica {
    my ($self, $path) = @_;

    return (type => 'sftp', host => $self->addr, user => $self->{user},
        path => $self->path($path), 'host-key' => $self->host_key,
        $self->{password} ? (password => $self->{password})
                          : ('key-path' => $self->key_path));
}


1;
