package Test::Litestream::S3;

# A storage that speaks S3, "rclone serve s3", with one key and its buckets in
# a directory below that of the test.
#
#   TEST_RCLONE    build/rclone

use warnings;
use strict;

use base qw/ Test::Litestream::Server /;


# one that is not started yet.  key, secret: else made up; port => N: that of
# %%PORT_N%%; buckets => [ ], else "backups"; tls => [ CERT, KEY ], files;
# host => 1: the bucket is in the name of the host

sub new {
    my ($class, $t, %opt) = @_;

    my $self = $class->create($t, 's3', %opt);
    my $n = $self->{n};

    $self->{bin} = $class->program('rclone', 'TEST_RCLONE');
    $self->{key} = $opt{key} // "KEYOFSERVER$n";
    $self->{secret} = $opt{secret} // "the-secret-of-s3-server-$n";
    $self->{tls} = $opt{tls};
    $self->{host} = $opt{host};

    $self->bucket($_) for @{ $opt{buckets} // ['backups'] };

    return $self;
}


sub key { return $_[0]{key} }
sub secret { return $_[0]{secret} }


# From the next start on, as an other server that speaks S3: with TLS and its
# name, which is found by a proxy.  replica => { }: what Litestream itself needs
# to go there

sub tls {
    my ($self, $cert, $wire, %replica) = @_;

    $self->{tls} = $cert;
    $self->{wire} = $wire;
    $self->{replica} = \%replica;
}


sub endpoint {
    my ($self) = @_;
    return ($self->{tls} ? 'https://' : 'http://') . $self->addr;
}


# what "litestream_replica" needs for it

sub params {
    my ($self) = @_;
    return 'endpoint=' . $self->endpoint . " access_key_id=$self->{key} "
        . "secret_access_key=$self->{secret}";
}


# the key is not to be seen in its arguments

sub command {
    my ($self) = @_;

    my $dir = $self->{dir};
    my %env = map { $_ => undef } grep { /^(RCLONE|AWS)_/ } CORE::keys %ENV;

    $env{RCLONE_AUTH_KEY} = "\"$self->{key},$self->{secret}\"";

    my @tls = $self->{tls} ? ('--cert', $self->{tls}[0], '--key',
        $self->{tls}[1]) : ();

    return (\%env, $self->{bin}, qw/ serve s3 /, "$dir/data", '--addr',
        $self->addr, @tls, '--config', "$dir/rclone.conf", '--cache-dir',
        "$dir/cache", qw/ --vfs-cache-mode off --log-level INFO /,
        $self->{host} ? '--force-path-style=false' : ());
}


sub bucket {
    my ($self, $name) = @_;

    mkdir "$self->{dir}/data/$name" or die "mkdir($name) failed: $!\n";
    return $name;
}


# names of objects below a path of a bucket

sub objects { return shift->files(@_) }


# Litestream's own way to it, for what Test::Litestream::DB does with a URL

sub url {
    my ($self, $path) = @_;
    return "s3://$path?endpoint=" . $self->endpoint
        . ($self->{tls} ? '&skipVerify=true' : '');
}


sub replica {
    my ($self, $path) = @_;

    my ($bucket, $dir) = split m!/!, $path, 2;

    return (type => 's3', bucket => $bucket, path => $dir,
        %{ $self->{replica} || { endpoint => $self->endpoint } });
}


sub keys {
    my ($self) = @_;

    return {
        LITESTREAM_ACCESS_KEY_ID => $self->{key},
        LITESTREAM_SECRET_ACCESS_KEY => $self->{secret},
    };
}


sub env {
    my ($self) = @_;

    return {
        %{ $self->keys },
        $self->{wire} ? (HTTPS_PROXY => 'http://' . $self->{wire}->addr,
            SSL_CERT_FILE => $self->{tls}[0]) : (),
    };
}


1;
