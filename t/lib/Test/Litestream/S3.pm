package Test::Litestream::S3;

# A storage that speaks S3, "rclone serve s3", with one key and its buckets in
# a directory below that of the test.
#
#   TEST_RCLONE    build/rclone

use warnings;
use strict;

use Cwd qw/ abs_path /;
use POSIX qw/ WNOHANG /;

use Test::Litestream::Command qw/ fork_with wait_for /;
use Test::Litestream::DB;
use Test::Litestream::HTTP qw/ port /;


my $root = abs_path(__FILE__) =~ s!/t/lib/Test/Litestream/S3\.pm$!!r;
my $servers = 0;


# one that is not started yet.  key, secret: else made up; port => N: that of
# %%PORT_N%%; buckets => [ ], else "backups"

sub new {
    my ($class, $t, %opt) = @_;

    my $n = ++$servers;
    my $bin = $ENV{TEST_RCLONE} || "$root/build/rclone";

    -x $bin or die "$bin was not found: make build/rclone\n";

    my $self = bless {
        test => $t,
        bin => $bin,
        port => port($opt{port} // 8900 + $n),
        dir => "$t->{testdir}/s3-$n",
        key => $opt{key} // "KEYOFSERVER$n",
        secret => $opt{secret} // "the-secret-of-s3-server-$n",
    }, $class;

    mkdir $self->{dir} or die "mkdir($self->{dir}) failed: $!\n";
    mkdir "$self->{dir}/data" or die "mkdir() failed: $!\n";

    $self->bucket($_) for @{ $opt{buckets} // ['backups'] };

    return $self;
}


sub key { return $_[0]{key} }
sub secret { return $_[0]{secret} }
sub endpoint { return "http://127.0.0.1:$_[0]{port}" }


# what "litestream_replica" needs for it

sub params {
    my ($self) = @_;
    return 'endpoint=' . $self->endpoint . " access_key_id=$self->{key} "
        . "secret_access_key=$self->{secret}";
}


# its pid; the buckets are what they were

sub start {
    my ($self) = @_;

    my $dir = $self->{dir};

    return $self->{pid} if $self->{pid};

    open my $null, '<', '/dev/null' or die "open(/dev/null) failed: $!\n";
    open my $log, '>>', "$dir/log" or die "open($dir/log) failed: $!\n";

    my $pid = fork_with([$null, $log, $log], sub {

        # the key is not to be seen in its arguments

        delete $ENV{$_} for grep { /^(RCLONE|AWS)_/ } keys %ENV;
        $ENV{RCLONE_AUTH_KEY} = "\"$self->{key},$self->{secret}\"";
        $ENV{HOME} = $dir;

        exec { $self->{bin} } $self->{bin}, qw/ serve s3 /, "$dir/data",
            '--addr', "127.0.0.1:$self->{port}", '--config',
            "$dir/rclone.conf", '--cache-dir', "$dir/cache",
            qw/ --vfs-cache-mode off --log-level INFO /;
    });

    $self->{pid} = $pid;
    push @{ $self->{test}{daemons} }, $pid;

    $self->{test}->waitforsocket("127.0.0.1:$self->{port}", 20)
        or die "rclone does not serve: " . $self->log;

    return $pid;
}


# TERM, or another signal: KILL as when a machine has gone, STOP hangs, CONT

sub signal {
    my ($self, $sig) = @_;
    return kill $sig, $self->{pid};
}


sub stop {
    my ($self, $sig) = @_;

    my $pid = delete $self->{pid} or return;
    my $t = $self->{test};

    $t->{daemons} = [ grep { $_ != $pid } @{ $t->{daemons} } ];

    kill $sig // 'KILL', $pid;
    return wait_for($pid, 10);
}


sub log { return $_[0]{test}->read_file("$_[0]{dir}/log") // '' }


sub bucket {
    my ($self, $name) = @_;

    mkdir "$self->{dir}/data/$name" or die "mkdir($name) failed: $!\n";
    return $name;
}


# names of objects below a path of a bucket

sub objects {
    my ($self, $path) = @_;

    my @dirs = "$self->{dir}/data/$path";
    my @names;

    while (defined(my $d = shift @dirs)) {
        opendir my $h, $d or next;

        for (grep { !/^\.\.?$/ } readdir $h) {
            -d "$d/$_" ? push @dirs, "$d/$_" : push @names, "$d/$_";
        }
    }

    return sort map { s!^\Q$self->{dir}\E/data/!!r } @names;
}


# Litestream's own way to it, for what Test::Litestream::DB does with a URL

sub url {
    my ($self, $path) = @_;
    return "s3://$path?endpoint=" . $self->endpoint;
}


sub env {
    my ($self) = @_;

    return {
        LITESTREAM_ACCESS_KEY_ID => $self->{key},
        LITESTREAM_SECRET_ACCESS_KEY => $self->{secret},
    };
}


1;
