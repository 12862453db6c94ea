package Test::Litestream::Docs;

# The examples of docs/replicas.md, which are run as they stand there.  The
# names of files are other ones, see below; what the environment file of an
# example holds comes from the test, which must say each of its variables; and
# hosts of the Internet are found by a proxy, see Test::Litestream::Wire.

use warnings;
use strict;

use Cwd qw/ abs_path /;

use Test::Litestream::Proc qw/ slurp /;


my $root = abs_path(__FILE__) =~ s!/t/lib/Test/Litestream/Docs\.pm$!!r;

my @files = (
    '/srv/app/data/' => '/app/',
    '/etc/nginx/' => '/',
    '/mnt/backup' => '/backup',
);


# The example below a heading: { nginx => TEXT, sh => TEXT }, the n-th of each
# kind

sub example {
    my ($class, $heading, $n) = @_;

    my $text = slurp("$root/docs/replicas.md") // die "no docs/replicas.md\n";

    my ($section) = $text =~ /^#+ \Q$heading\E\n(.*?)(?=^#|\z)/ms
        or die "docs/replicas.md: no \"$heading\"\n";
    my %found;

    while ($section =~ /^```(\w+)\n(.*?)^```$/msg) {
        push @{ $found{$1} }, $2;
    }

    my %example = map { $_ => $found{$_}[($n // 1) - 1] } keys %found;

    defined $example{nginx}
        or die "docs/replicas.md: no example in \"$heading\"\n";

    return \%example;
}


# As files of the test, with an API at /litestream/.  env => { } for the
# environment file that the example has, n: which one, more => directives

sub conf {
    my ($class, $t, $heading, %opt) = @_;

    my $example = $class->example($heading, $opt{n});
    my $nginx = $example->{nginx};
    my $dir = $t->testdir;

    for (my $i = 0; $i < @files; $i += 2) {
        $nginx =~ s/\Q$files[$i]\E/$dir$files[$i + 1]/g;
    }

    if (defined $example->{sh}) {
        my ($file) = $nginx =~ /^litestream_env_file\s+(\S+);$/m
            or die "\"$heading\" has no litestream_env_file\n";
        my @names = $example->{sh} =~ /^(\w+)=/mg;
        my %env = %{ $opt{env} || {} };

        join(' ', sort @names) eq join(' ', sort keys %env)
            or die "\"$heading\" has the variables @names\n";

        $t->write_file($file, join '', map { "$_=$env{$_}\n" } @names);
        chmod 0600, $file;
    }

    $nginx =~ s/^/    /mg;

    my $more = $opt{more} // '';

    return $t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    $more

$nginx
    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api write=on;
        }
    }
}

EOF
}


1;
