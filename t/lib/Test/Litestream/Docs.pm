package Test::Litestream::Docs;

# The examples of docs/replicas.md, which are run as they stand there.  The
# names of files are other ones, see below; what the environment file of an
# example holds comes from the test, which must say each of its variables; and
# hosts of the Internet are found by a proxy, see Test::Litestream::Wire, or are
# other ones where there are no proxies.

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


# The n-th example below a heading, and all variables that are said there:
# { nginx => TEXT, sh => TEXT }

sub example {
    my ($class, $heading, $n) = @_;

    my $text = slurp("$root/docs/replicas.md") // die "no docs/replicas.md\n";

    my ($section) = $text =~ /^#+ \Q$heading\E\n(.*?)(?=^#|\z)/ms
        or die "docs/replicas.md: no \"$heading\"\n";
    my %found;

    while ($section =~ /^```(\w+)\n(.*?)^```$/msg) {
        push @{ $found{$1} }, $2;
    }

    my $nginx = $found{nginx}[($n // 1) - 1]
        // die "docs/replicas.md: no example in \"$heading\"\n";

    return { nginx => $nginx, sh => join '', @{ $found{sh} || [] } };
}


# As files of the test, with an API at /litestream/.  env => { } for the
# environment file that the example has, n: which one, more => directives, map
# => [FROM => TO]: hosts, paths there and keys, each of which is in it

sub conf {
    my ($class, $t, $heading, %opt) = @_;

    my $example = $class->example($heading, $opt{n});
    my $nginx = $example->{nginx};
    my $dir = $t->testdir;

    for (my $i = 0; $i < @files; $i += 2) {
        $nginx =~ s/\Q$files[$i]\E/$dir$files[$i + 1]/g;
    }

    my @map = @{ $opt{map} || [] };

    while (my ($from, $to) = splice @map, 0, 2) {
        $nginx =~ s/\Q$from\E/$to/g
            or die "\"$heading\" has no \"$from\"\n";
    }

    if ($nginx =~ /^litestream_env_file\s+(\S+);$/m) {
        my $file = $1;
        my %env = %{ $opt{env} || {} };
        my %said = map { $_ => 1 } $example->{sh} =~ /^(\w+)=/mg;
        my %used = map { $_ => 1 } $nginx =~ /\$\{(\w+)\}/g;

        # what is not replaced Litestream finds by itself

        my @names = sort keys %used ? keys %used : keys %said;

        join(' ', @names) eq join(' ', sort keys %env)
            && !grep { !$said{$_} } @names
            or die "\"$heading\" has the variables @{[ sort keys %said ]}\n";

        $t->write_file($file, join '', map { "$_=$env{$_}\n" } sort keys %env);
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
