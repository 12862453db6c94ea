package Test::Litestream::NATS;

# A storage that speaks NATS, nats-server with JetStream, with one user, or a
# token, and its buckets in a directory below that of the test.

use warnings;
use strict;

use base qw/ Test::Litestream::Server /;

use IO::Socket::INET;
use JSON::PP;

use Test::Litestream::Command qw/ ceiling /;


# one that is not started yet.  port => N: that of %%PORT_N%%; user => NAME;
# token => 1: instead of a user

sub new {
    my ($class, $t, %opt) = @_;

    my $self = $class->create($t, 'nats', %opt);

    ($self->{bin}) = grep { -x } '/usr/sbin/nats-server',
        '/usr/bin/nats-server'
        or die "nats-server was not found: make test-servers\n";

    if ($opt{token}) {
        $self->{token} = "the-token-of-nats-$self->{n}";

    } else {
        $self->{user} = $opt{user} // "user$self->{n}";
        $self->{password} = "the-password-of-nats-$self->{n}";
    }

    my $who = $opt{token} ? "token: \"$self->{token}\""
        : "user: \"$self->{user}\", password: \"$self->{password}\"";

    chmod 0600, $t->write_file("$self->{dir}/nats.conf", <<"EOF");
listen: "127.0.0.1:$self->{port}"
jetstream { store_dir: "$self->{dir}/data" }
authorization { $who }
EOF

    return $self;
}


sub user { return $_[0]{user} }
sub password { return $_[0]{password} }
sub token { return $_[0]{token} }


sub command {
    my ($self) = @_;
    return ({}, $self->{bin}, '-c', "$self->{dir}/nats.conf");
}


sub ready { return eval { $_[0]->request('INFO', {}) } ? 1 : 0 }


# It is to be asked in the protocol of NATS alone: the answer of JetStream.
# What it was said first is read before anything is sent.

sub request {
    my ($self, $subject, $what) = @_;

    my $json = JSON::PP->new->canonical;

    my $s = IO::Socket::INET->new(PeerAddr => $self->addr,
        Timeout => ceiling(5))
        or die "connect(" . $self->addr . ") failed: $@\n";

    local $SIG{ALRM} = sub { die "no answer of nats-server\n" };
    alarm ceiling(10);

    my $info = <$s> // '';
    $info =~ /^INFO / or die "not nats-server: $info\n";

    my $body = $json->encode($what);

    print $s 'CONNECT ', $json->encode({
            verbose => JSON::PP::false,
            defined $self->{token} ? (auth_token => $self->{token})
                : (user => $self->{user}, pass => $self->{password}),
        }), "\r\nSUB answer 1\r\nPUB \$JS.API.$subject answer ",
        length $body, "\r\n$body\r\n";

    while (defined(my $line = <$s>)) {

        die "nats-server: $line" if $line =~ /^-ERR/;

        if ($line =~ /^PING/) {
            print $s "PONG\r\n";

        } elsif ($line =~ /^MSG .* (\d+)\r\n/) {
            read $s, my ($answer), $1;
            alarm 0;
            return $json->decode($answer);
        }
    }

    alarm 0;
    die "nats-server has closed the connection\n";
}


# a bucket of its object store, which is a stream; it has to run

sub bucket {
    my ($self, $name) = @_;

    my $r = $self->request("STREAM.CREATE.OBJ_$name", {
        name => "OBJ_$name",
        subjects => ["\$O.$name.C.>", "\$O.$name.M.>"],
        retention => 'limits', discard => 'new', storage => 'file',
        num_replicas => 1, max_consumers => -1, max_msgs => -1,
        max_bytes => -1, max_age => 0, max_msgs_per_subject => -1,
        allow_rollup_hdrs => JSON::PP::true, allow_direct => JSON::PP::true,
    });

    die "bucket $name: $r->{error}{description}\n" if $r->{error};
    return $name;
}


# how many messages a bucket holds

sub messages {
    my ($self, $bucket) = @_;
    return $self->request("STREAM.INFO.OBJ_$bucket", {})->{state}{messages};
}


sub replica {
    my ($self, $bucket) = @_;

    return (type => 'nats', url => 'nats://' . $self->addr . "/$bucket",
        defined $self->{token} ? (token => $self->{token})
            : (username => $self->{user}, password => $self->{password}));
}


1;
