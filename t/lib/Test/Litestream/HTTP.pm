package Test::Litestream::HTTP;

# Ports, and a client that shows what was on the wire: others hide what comes
# after Content-Length.

use warnings;
use strict;

use base qw/ Exporter /;

our @EXPORT = qw/ http http_end http_get http_head http_post http_raw
    http_unix json port response /;

our @EXPORT_OK = qw/ connect_to /;

use IO::Socket;
use JSON::PP;
use Scalar::Util qw/ blessed /;
use Test::More qw//;

use Test::Litestream::Command qw/ ceiling now /;


my (%ports, @locks);


# functions and methods of a test alike

sub _args {
    shift if blessed $_[0] && $_[0]->isa('Test::Litestream');
    return @_;
}


# 8000 to 8999 in a test are any free ones, told apart from those of tests
# that run at the same time by a name that only one process can have

sub port {
    my ($n) = _args(@_);

    return $ports{$n} if $ports{$n};

    for (1 .. 1000) {
        my $port = 10000 + int rand 20000;

        my $lock = IO::Socket::UNIX->new(Local => "\0ngls-port-$port",
            Listen => 1) or next;

        IO::Socket::INET->new(LocalAddr => "127.0.0.1:$port", Listen => 1,
            ReuseAddr => 1) or next;

        push @locks, $lock;
        return $ports{$n} = $port;
    }

    die "no free port\n";
}


# options: headers => { }, method, body, version, peer ("127.0.0.1:PORT" or
# the path of a socket), socket (connected), ceiling, until => qr//,
# start => 1: gives the socket to read from, for http_end()

sub http_get {
    my ($uri, %opt) = _args(@_);
    return http(_text($uri, %opt), %opt);
}


sub http_head { return http_get(_args(@_), method => 'HEAD') }


sub http_post {
    my ($uri, $body, %opt) = _args(@_);
    return http_get($uri, method => 'POST', body => $body // '', %opt);
}


sub http_unix {
    my ($path, $uri, %opt) = _args(@_);
    return http_get($uri, peer => $path, %opt);
}


sub _text {
    my ($uri, %opt) = @_;

    my $version = $opt{version} // '1.0';
    my %headers = (Host => 'localhost', %{ $opt{headers} || {} });

    $headers{'Content-Length'} //= length $opt{body} if defined $opt{body};
    $headers{Connection} //= 'close' if $version ne '1.0';

    return join "\r\n", ($opt{method} // 'GET') . " $uri HTTP/$version",
        (map { "$_: $headers{$_}" } grep { defined $headers{$_} }
            sort keys %headers), '', $opt{body} // '';
}


# the answer as it came

sub http {
    my ($request, %opt) = _args(@_);

    my $s = _send($request, %opt);

    return $s if $opt{start};
    return http_end($s, %opt);
}


sub http_end {
    my ($s, %opt) = _args(@_);
    return $s ? _receive($s, %opt)->{data} : '';
}


# and how it came: { data, eof, first => seconds to the first byte, took }

sub http_raw {
    my ($bytes, %opt) = _args(@_);

    my $s = _send($bytes, %opt) or return { data => '', eof => 0 };
    return _receive($s, %opt);
}


sub connect_to {
    my ($peer) = @_;

    return $peer =~ m!^/!
        ? IO::Socket::UNIX->new(Peer => $peer)
        : IO::Socket::INET->new(PeerAddr => $peer, Timeout => ceiling(5));
}


sub _send {
    my ($request, %opt) = @_;

    local $SIG{PIPE} = 'IGNORE';

    my $s = $opt{socket}
            || connect_to($opt{peer} // '127.0.0.1:' . port(8080));

    Test::More::note(">> $request") if $ENV{TEST_NGINX_VERBOSE};

    unless ($s && $s->syswrite($request)) {
        Test::More::note("not sent: $!") if $ENV{TEST_NGINX_VERBOSE};
        return undef;
    }

    return $s;
}


sub _receive {
    my ($s, %opt) = @_;

    my ($begin, $first, $data, $eof) = (now(), undef, '', 0);
    my $end = $begin + ceiling($opt{ceiling} // 30);

    while (now() < $end) {
        my $r = '';
        vec($r, fileno($s), 1) = 1;
        next unless select($r, undef, undef, 0.1) > 0;

        my $n = sysread $s, $data, 65536, length $data;
        $first //= now() - $begin if $n;

        $eof = 1 unless $n;
        last if $eof || $opt{until} && $data =~ $opt{until};
    }

    Test::More::note("<< $data") if $ENV{TEST_NGINX_VERBOSE};

    return { data => $data, eof => $eof, first => $first,
             took => now() - $begin };
}


# { status, headers (names in lower case), body }; no answer: status 0

sub response {
    my ($text) = _args(@_);

    my ($head, $body) = split /\r\n\r\n/, $text // '', 2;
    my ($first, @lines) = split /\r\n/, $head // '';
    my %headers;

    for (@lines) {
        my ($name, $value) = /^([^:]+):\s*(.*)/ or next;
        my $old = $headers{lc $name};
        $headers{lc $name} = defined $old ? "$old, $value" : $value;
    }

    return {
        status => ($first // '') =~ m!^HTTP/\S+ (\d+)! ? $1 : 0,
        headers => \%headers,
        body => $body // '',
    };
}


# strict: dies when anything is wrong with it

sub json { return JSON::PP->new->utf8->decode((_args(@_))[0]) }


1;
