package Test::Litestream::DAV;

# A storage that speaks WebDAV, "rclone serve webdav", with one user and its
# files in a directory below that of the test.
#
#   TEST_RCLONE    build/rclone

use warnings;
use strict;

use base qw/ Test::Litestream::Server /;


# one that is not started yet.  port => N: that of %%PORT_N%%; user => NAME; tls
# => [CERT, KEY]: files; root => "/PATH": what its URLs begin with

sub new {
    my ($class, $t, %opt) = @_;

    my $self = $class->create($t, 'webdav', %opt);

    $self->{bin} = $class->program('rclone', 'TEST_RCLONE');
    $self->{user} = $opt{user} // "user$self->{n}";
    $self->{password} = "p\@ss:w/rd#%41?&\$HOME-$self->{n}";
    $self->{tls} = $opt{tls};
    $self->{root} = $opt{root} // '';

    return $self;
}


sub user { return $_[0]{user} }
sub password { return $_[0]{password} }


# the password is not to be seen in its arguments

sub command {
    my ($self) = @_;

    return ({ RCLONE_USER => $self->{user}, RCLONE_PASS => $self->{password} },
        $self->{bin}, qw/ serve webdav /, "$self->{dir}/data", '--addr',
        $self->addr, '--config', "$self->{dir}/rclone.conf", '--cache-dir',
        "$self->{dir}/cache", '--baseurl', $self->{root},
        $self->{tls} ? ('--cert', $self->{tls}[0], '--key', $self->{tls}[1])
                     : (),
        qw/ --vfs-cache-mode off /);
}


sub objects { return shift->files(@_) }


sub replica {
    my ($self, $path) = @_;

    return (type => 'webdav', 'webdav-url' => ($self->{tls} ? 'https' : 'http')
            . '://' . $self->addr . $self->{root}, path => "/$path",
        'webdav-username' => $self->{user},
        'webdav-password' => $self->{password});
}


sub env {
    my ($self) = @_;
    return $self->{tls} ? { SSL_CERT_FILE => $self->{tls}[0] } : {};
}


1;
