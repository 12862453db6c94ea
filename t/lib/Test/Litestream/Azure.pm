package Test::Litestream::Azure;

# A storage that speaks Azure Blob Storage, Azurite, with one account and its
# containers.

use warnings;
use strict;

use base qw/ Test::Litestream::Server /;

use Digest::SHA qw/ hmac_sha256 /;
use MIME::Base64 qw/ decode_base64 encode_base64 /;
use POSIX qw/ strftime /;

use Test::Litestream::HTTP qw/ http_get response /;


# one that is not started yet.  account: its name, key: in base64, else made
# up; port => N: that of %%PORT_N%%

sub new {
    my ($class, $t, %opt) = @_;

    my $self = $class->create($t, 'azure', %opt);

    $self->{bin} = $class->program('azurite/node');
    $self->{account} = $opt{account} // "account$self->{n}";
    $self->{key} = $opt{key}
        // encode_base64("the-key-of-azure-account-$self->{n}", '');

    return $self;
}


sub account { return $_[0]{account} }
sub key { return $_[0]{key} }


# with the account in the path, as a server without names of its own has it

sub endpoint {
    my ($self) = @_;
    return 'http://' . $self->addr . "/$self->{account}";
}


# From the next start on, as Azure itself: with TLS, and the account in the name
# of the host, which is found by a proxy; undef: as before

sub tls {
    my ($self, $cert, $wire) = @_;

    $self->{tls} = $cert;
    $self->{wire} = $wire;
}


# what "litestream_replica" needs for it

sub params {
    my ($self) = @_;
    return 'endpoint=' . $self->endpoint . " account_name=$self->{account} "
        . "account_key=$self->{key}";
}


# the key is not to be seen in its arguments

sub command {
    my ($self) = @_;

    my $main = $self->{bin} =~ s!node$!node_modules/azurite/dist/src/blob!r
        . '/main.js';

    return ({ AZURITE_ACCOUNTS => "$self->{account}:$self->{key}" },
        $self->{bin}, $main, '--blobHost', '127.0.0.1', '--blobPort',
        $self->{port}, '--location', "$self->{dir}/data",
        ($self->{tls} ? ('--cert', $self->{tls}[0], '--key', $self->{tls}[1])
            : ()), '--skipApiVersionCheck');
}


# it writes to disk what it knows of its blobs when it is told to end

sub stop {
    my ($self, $sig) = @_;
    return $self->SUPER::stop($sig // 'TERM');
}


# a request with the account's signature: method, path and query

sub request {
    my ($self, $method, $path, %query) = @_;

    my %headers = ('x-ms-date' => strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime),
        'x-ms-version' => '2021-08-06');

    # account in the path: once as the account, once as the path

    my $text = join "\n", $method, ('') x 11,
        (map { "$_:$headers{$_}" } sort keys %headers),
        "/$self->{account}/$self->{account}/$path",
        map { "$_:$query{$_}" } sort keys %query;

    my $signature = encode_base64(hmac_sha256($text,
        decode_base64($self->{key})), '');

    my $query = join '&', map { "$_=$query{$_}" } sort keys %query;

    return response(http_get("/$self->{account}/$path?$query",
        method => $method, peer => $self->addr,
        headers => { %headers, 'Content-Length' => '0',
            Host => $self->addr, Connection => 'close',
            Authorization => "SharedKey $self->{account}:$signature" },
        version => '1.1'));
}


# A token for all that Litestream does in a container.

sub token {
    my ($self, $container) = @_;

    my ($version, $until) = ('2021-08-06', '2999-12-31T00:00:00Z');

    my $signature = encode_base64(hmac_sha256(join("\n", 'rcwdl', '', $until,
        "/blob/$self->{account}/$container", ('') x 3, $version, 'c', ('') x 7),
        decode_base64($self->{key})), '');

    $signature =~ s/([^A-Za-z0-9])/sprintf '%%%02X', ord $1/ge;

    return "sv=$version&sr=c&sp=rcwdl&se=" . ($until =~ s/:/%3A/gr)
        . "&sig=$signature";
}


# it has to run

sub container {
    my ($self, $name) = @_;

    my $r = $self->request('PUT', $name, restype => 'container');

    die "container $name: $r->{status} $r->{body}\n" if $r->{status} != 201;
    return $name;
}


# names of the blobs of a container, CONTAINER/NAME

sub objects {
    my ($self, $container) = @_;

    my $r = $self->request('GET', $container, comp => 'list',
        restype => 'container');

    die "list of $container: $r->{status} $r->{body}\n"
        if $r->{status} != 200;

    return sort map { "$container/$_" } $r->{body} =~ m!<Name>([^<]+)</Name>!g;
}


# what Litestream itself needs

sub replica {
    my ($self, $path) = @_;

    my ($container, $dir) = split m!/!, $path, 2;

    return (type => 'abs', bucket => $container, path => $dir,
        'account-name' => $self->{account}, 'account-key' => $self->{key},
        $self->{tls} ? () : (endpoint => $self->endpoint));
}


sub env {
    my ($self) = @_;

    return {} unless $self->{tls};
    return { HTTPS_PROXY => 'http://' . $self->{wire}->addr,
        SSL_CERT_FILE => $self->{tls}[0] };
}


1;
