package Test::Litestream::GCS;

# A storage that speaks Google Cloud Storage, fake-gcs-server, with its buckets
# in a directory below that of the test.  It asks for no credentials.

use warnings;
use strict;

use base qw/ Test::Litestream::Server /;


# one that is not started yet.  port => N: that of %%PORT_N%%; buckets => [ ],
# else "backups"

sub new {
    my ($class, $t, %opt) = @_;

    my $self = $class->create($t, 'gcs', %opt);

    $self->{bin} = $class->program('fake-gcs-server');
    $self->bucket($_) for @{ $opt{buckets} // ['backups'] };

    return $self;
}


sub command {
    my ($self) = @_;

    return ({}, $self->{bin}, qw/ -scheme http -host 127.0.0.1 -port /,
        $self->{port}, '-public-host', $self->addr, '-external-url',
        'http://' . $self->addr, qw/ -backend filesystem -filesystem-root /,
        "$self->{dir}/data");
}


sub bucket {
    my ($self, $name) = @_;

    mkdir "$self->{dir}/data/$name" or die "mkdir($name) failed: $!\n";
    return $name;
}


# names of objects below a path of a bucket

sub objects { return shift->files(@_) }


# what Litestream itself needs

sub replica {
    my ($self, $path) = @_;

    my ($bucket, $dir) = split m!/!, $path, 2;

    return (type => 'gs', bucket => $bucket, path => $dir);
}


sub env { return { STORAGE_EMULATOR_HOST => $_[0]->addr } }


1;
