package Test::Litestream::GCS;

# A storage that speaks Google Cloud Storage, fake-gcs-server, with its buckets
# in a directory below that of the test.  It asks for no credentials; a service
# account gets its tokens from a server of ours.

use warnings;
use strict;

use base qw/ Test::Litestream::Server /;

use JSON::PP;

use Test::Litestream::Command qw/ run_command /;
use Test::Litestream::HTTP qw/ port /;


# one that is not started yet.  port => N: that of %%PORT_N%%; buckets => [ ],
# else "backups"

sub new {
    my ($class, $t, %opt) = @_;

    my $self = $class->create($t, 'gcs', %opt);

    $self->{bin} = $class->program('fake-gcs-server');
    $self->bucket($_) for @{ $opt{buckets} // ['backups'] };

    return $self;
}


# From the next start on, as Google itself: with TLS and its name, which is found
# by a proxy; without arguments: as before

sub tls {
    my ($self, $cert, $wire) = @_;

    $self->{tls} = $cert;
    $self->{wire} = $wire;
}


sub command {
    my ($self) = @_;

    my @tls = $self->{tls} ? ('-scheme', 'https', '-cert-location',
        $self->{tls}[0], '-private-key-location', $self->{tls}[1])
        : ('-scheme', 'http', '-external-url', 'http://' . $self->addr,
            '-public-host', $self->addr);

    return ({}, $self->{bin}, qw/ -host 127.0.0.1 -port /, $self->{port}, @tls,
        qw/ -backend filesystem -filesystem-root /, "$self->{dir}/data");
}


# The file of a service account's key, and a server that gives it tokens.

sub account {
    my ($self, $file) = @_;

    my $t = $self->{test};
    my $addr = '127.0.0.1:' . port(8690);

    my ($rc, $key, $err) = run_command(qw/ openssl genpkey -algorithm RSA /);
    die "openssl: $err\n" if $rc;

    $self->{tokens} = $t->write_file('tokens', '');
    $t->run_daemon(sub { $self->_tokens($addr) });
    $t->waitforsocket($addr) or die "nobody gives tokens\n";

    my $path = $t->write_file($file, JSON::PP->new->encode({
        type => 'service_account', project_id => 'project',
        private_key_id => '1', private_key => $key, client_id => '1',
        client_email => 'backup@project.iam.gserviceaccount.com',
        token_uri => "http://$addr/token" }));

    chown +($t->user)[2, 3], $path if $> == 0;
    chmod 0400, $path;

    return $path;
}


# how many it has given

sub tokens { return -s $_[0]{tokens} }


# it gives none any more: why

sub deny { $_[0]{test}->write_file('deny', $_[1]) }


sub _tokens {
    my ($self, $addr) = @_;

    my $listen = IO::Socket::INET->new(LocalAddr => $addr, Listen => 64,
        ReuseAddr => 1) or die "listen($addr) failed: $!\n";

    while (my $c = $listen->accept) {
        my $text = '';
        1 while $text !~ /\r\n\r\n.*assertion=/s
            && sysread $c, $text, 65536, length $text;

        next if $text eq '';

        my $deny = $self->{test}->read_file('deny');
        my $body = defined $deny
            ? qq/{"error":"invalid_grant","error_description":"$deny"}/
            : '{"access_token":"token","expires_in":3599,'
              . '"token_type":"Bearer"}';

        syswrite $c, 'HTTP/1.1 ' . (defined $deny ? '400 Bad Request'
            : '200 OK') . "\r\nContent-Type: application/json\r\n"
            . 'Content-Length: ' . length($body)
            . "\r\nConnection: close\r\n\r\n$body";

        next if defined $deny;

        open my $f, '>>', $self->{tokens} or die "$self->{tokens}: $!\n";
        print $f '.';
        close $f;
    }
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


sub env {
    my ($self) = @_;

    return { STORAGE_EMULATOR_HOST => $self->addr } unless $self->{tls};
    return { HTTPS_PROXY => 'http://' . $self->{wire}->addr,
        SSL_CERT_FILE => $self->{tls}[0], GOOGLE_APPLICATION_CREDENTIALS =>
            "$self->{test}{testdir}/backup.json" };
}


1;
