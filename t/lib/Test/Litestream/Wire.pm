package Test::Litestream::Wire;

# What goes over the wire: a port that passes everything on to a server, and
# notes what clients have sent.  Or a proxy for hosts that are elsewhere, in
# the Internet or nowhere, which has servers of ours in their place.

use warnings;
use strict;

use IO::Select;
use IO::Socket::INET;

use Test::Litestream::HTTP qw/ port /;


my $wires = 0;


# to the address of a server; or, a proxy, to that of each host: { "name.of.it"
# => ADDRESS, ".a.domain" => ADDRESS }

sub new {
    my ($class, $t, $to) = @_;

    my $n = ++$wires;

    my $self = bless {
        test => $t,
        addr => '127.0.0.1:' . port(8700 + $n),
        log => "wire-$n.log",
    }, $class;

    $t->write_file($self->{log}, '');
    $t->run_daemon(sub { _serve("$t->{testdir}/$self->{log}", $self->{addr},
        $to) });
    $t->waitforsocket($self->{addr}) or die "nobody listens\n";

    return $self;
}


sub addr { return $_[0]{addr} }


# directives: Litestream asks the proxy for all hosts

sub proxy {
    my ($self) = @_;
    return "litestream_env HTTPS_PROXY=http://$self->{addr};";
}


# the heads of all requests so far: { line, headers (names in lower case) }

sub requests {
    my ($self) = @_;

    my $text = $self->{test}->read_file($self->{log});
    my @requests;

    while ($text =~ m!^((?:CONNECT|DELETE|GET|HEAD|POST|PUT)\ \S+)
            \ HTTP/1\.1\r\n(.*?)\r\n\r\n!msgx)
    {
        my ($line, $head) = ($1, $2);

        push @requests, { line => $line, headers => { map {
            /^([^:]+):\s*(.*)/ ? (lc $1, $2) : () } split /\r\n/, $head } };
    }

    return @requests;
}


# the server for what a client has said first; undef: more has to be read, or
# there is none, and it is told so

sub _server {
    my ($to, $client, $said) = @_;

    my $server;

    if (!ref $to) {
        $server = IO::Socket::INET->new($to);

    } elsif ($$said !~ /\r\n\r\n/) {
        return undef;

    } else {
        my ($host) = $$said =~ /^CONNECT ([^: ]+):/;
        my ($name) = grep { defined $host && (/^\./ ? $host =~ /\Q$_\E$/
            : $host eq $_) } sort keys %$to;

        $server = IO::Socket::INET->new($to->{$name}) if defined $name;

        syswrite $client, 'HTTP/1.1 '
            . ($server ? '200 OK' : '502 Bad Gateway') . "\r\n\r\n";
        $$said = '';
    }

    shutdown $client, 2 unless $server;
    return $server;
}


sub _serve {
    my ($log, $addr, $to) = @_;

    $SIG{PIPE} = 'IGNORE';

    my $listen = IO::Socket::INET->new(LocalAddr => $addr, Listen => 64,
        ReuseAddr => 1) or die "listen($addr) failed: $!\n";
    my $select = IO::Select->new($listen);
    my (%peer, %said);

    open my $out, '>>', $log or die "open($log) failed: $!\n";

    for ( ;; ) {
        for my $s ($select->can_read) {

            if ($s == $listen) {
                my $client = $listen->accept or next;
                $said{$client} = '';
                $select->add($client);
                next;
            }

            next unless $peer{$s} || exists $said{$s};

            my $n = sysread $s, my $buf, 65536;

            unless ($n) {
                my $other = delete $peer{$s};

                for (grep { $_ } $s, $other) {
                    delete $peer{$_};
                    delete $said{$_};
                    $select->remove($_);
                    close $_;
                }

                next;
            }

            if (exists $said{$s}) {

                # of a client

                syswrite $out, $buf;

                unless ($peer{$s}) {
                    $said{$s} .= $buf;
                    my $server = _server($to, $s, \$said{$s}) or next;

                    $peer{$s} = $server;
                    $peer{$server} = $s;
                    $select->add($server);

                    $buf = $said{$s};
                    $n = length $buf;
                }
            }

            my $sent = 0;

            while ($sent < $n) {
                $sent += syswrite($peer{$s}, $buf, $n - $sent, $sent) // last;
            }
        }
    }
}


1;
