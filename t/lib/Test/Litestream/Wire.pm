package Test::Litestream::Wire;

# What goes over the wire: a port that passes everything on to a server, and
# notes what clients have sent.

use warnings;
use strict;

use IO::Select;
use IO::Socket::INET;

use Test::Litestream::HTTP qw/ port /;


my $wires = 0;


# between 127.0.0.1:PORT, see addr(), and a server's address

sub new {
    my ($class, $t, $server) = @_;

    my $n = ++$wires;

    my $self = bless {
        test => $t,
        addr => '127.0.0.1:' . port(8700 + $n),
        log => "wire-$n.log",
    }, $class;

    $t->write_file($self->{log}, '');
    $t->run_daemon(sub { _serve("$t->{testdir}/$self->{log}", $self->{addr},
        $server) });
    $t->waitforsocket($self->{addr}) or die "nobody listens\n";

    return $self;
}


sub addr { return $_[0]{addr} }


# the heads of all requests so far: { line, headers (names in lower case) }

sub requests {
    my ($self) = @_;
    my $text = $self->{test}->read_file($self->{log});
    my @requests;

    while ($text
        =~ m!^((?:GET|HEAD|PUT|POST|DELETE) \S+) HTTP/1\.1\r\n(.*?)\r\n\r\n!msg)
    {
        my ($line, $head) = ($1, $2);

        push @requests, { line => $line, headers => { map {
            /^([^:]+):\s*(.*)/ ? (lc $1, $2) : () } split /\r\n/, $head } };
    }

    return @requests;
}


sub _serve {
    my ($log, $addr, $server) = @_;

    $SIG{PIPE} = 'IGNORE';

    my $listen = IO::Socket::INET->new(LocalAddr => $addr, Listen => 64,
        ReuseAddr => 1) or die "listen($addr) failed: $!\n";
    my $select = IO::Select->new($listen);
    my %peer;

    open my $out, '>>', $log or die "open($log) failed: $!\n";

    for ( ;; ) {
        for my $s ($select->can_read) {

            if ($s == $listen) {
                my $client = $listen->accept or next;
                my $to = IO::Socket::INET->new($server);

                next unless $to;

                @peer{$client, $to} = ([ $to, 1 ], [ $client, 0 ]);
                $select->add($client, $to);
                next;
            }

            next unless $peer{$s};

            my ($to, $client) = @{ $peer{$s} };
            my $n = sysread $s, my $buf, 65536;

            if ($n) {
                syswrite $out, $buf if $client;

                my $sent = 0;

                while ($sent < $n) {
                    $sent += syswrite($to, $buf, $n - $sent, $sent) // last;
                }

                next;
            }

            delete @peer{$s, $to};
            $select->remove($s, $to);
            close $_ for $s, $to;
        }
    }
}


1;
