#!/usr/bin/perl

# nginx-litestream: wrong usage is exit code 2 and says how it is right; help
# is exit code 0; the manual has no mistake and knows every command.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::CLI;

my @commands = qw/ status verify validate sync wait config restore databases ltx snapshots wal
    generations reset init version install-litestream help /;

my $t = Test::Litestream->new()->plan(55);

my ($rc, $out, $err) = cli($t);

is($rc, 2, 'no command: exit code');
like($err, qr/^Usage: nginx-litestream COMMAND/, 'no command: usage');

($rc, $out, $err) = cli($t, 'adapt');

is($rc, 2, 'unknown command: exit code');
like($err, qr/^\S+: unknown command "adapt"\nUsage: /, 'unknown command');

bad('unknown option "-no"', 'status', '-no');
bad('option "-t" needs a value', 'wait', 'app', '-t');
bad('invalid time "1x"', 'wait', '-t', '1x', 'app');
bad('invalid time "1m 2h"', 'wait', '-t', '1m 2h', 'app');
bad('invalid time ""', 'wait', '-t', '', 'app');
bad('status has no option -t', 'status', '-t', '1s');
bad('wait has no option -json', 'wait', '-json', 'app');
bad('config has no option -json', 'config', '-json');
bad('ltx has no option -generation', 'ltx', '-generation', 'x', 'app');
bad('help has no option -path', 'help', '-path', '/');
bad('option "-json" is on or not: it has no value "yes"', 'status',
    '-json=yes');
bad('there is no command "replicate" here: ', 'replicate');
bad('invalid mode "some": say quick or full', 'verify', '-mode', 'some');
bad('-t: a time from 1ms to 1h', 'verify', '-t', '2h');
bad('-t: a time from 1ms to 1h', 'sync', '-t', '0');

is((cli($t, 'wait'))[0], 2, 'wait for nothing');
is((cli($t, 'version', 'x'))[0], 2, 'version of something');
is((cli($t, 'ltx', 'one', 'two'))[0], 2, 'ltx of two');
is((cli($t, 'help', 'x'))[0], 2, 'help about something else');

# help

for (['help'], ['-h'], ['--help']) {
    ($rc, $out, $err) = cli($t, @$_);

    is("$rc$err", '0', "@$_: exit code");
    is(scalar(grep { $out =~ /^    $_ /m } @commands), scalar @commands,
        "@$_: commands");
}

is(join("\n", grep { length > 80 } split /\n/, join '', map {
    (cli($t, $_, '-h'))[1] } @commands), '', 'help: 80 columns');
is(join("\n", grep { length > 80 } split /\n/, $out), '',
    'help of all: 80 columns');

for (@commands) {
    ($rc, $out, $err) = cli($t, $_, '-h');

    like("$rc$err$out", qr/^0Usage: nginx-litestream $_/, "$_ -h");
}

is((cli($t, 'help', 'wait'))[1], (cli($t, 'wait', '-h'))[1], 'help wait');
like((cli($t, 'version'))[1], qr/^nginx-litestream \d+\.\d+\.\d+\n/,
    'version');

# a pipe that is closed, a disk that is full

is(($t->command('sh', '-c', cli_path($t) . ' help >/dev/full'))[0], 1,
    'a full disk');

# installed

($rc, $out, $err) = $t->command('sh', '-c', "cd $FindBin::Bin/.. && DESTDIR="
    . $t->testdir . '/root tools/install-command ' . cli_path($t)
    . ' docs/nginx-litestream.8');

is($rc, 0, 'make install') or diag($err);

my @files = map { [ stat($t->testdir . "/root/usr/$_") ] }
    'bin/nginx-litestream', 'share/man/man8/nginx-litestream.8';

is(sprintf('%o %o', map { ($_->[2] // 0) & 07777 } @files), '755 644',
    'make install: modes');

# the manual

my $manual = "$FindBin::Bin/../docs/nginx-litestream.8";
my $text = $t->read_file($manual);

($rc, $out, $err) = $t->command('groff', '-man', '-Tutf8', '-ww',
    '-rCHECKSTYLE=3', '-z', $manual);

is("$rc$out$err", '0', 'the manual: no warnings');
is(join(' ', grep { $text !~ /^\.B ${\ s!-!\\\\-!r }$/m } @commands), '',
    'the manual: commands');


sub bad {
    my ($why, @args) = @_;

    my ($rc, $out, $err) = cli($t, @args);

    is("$rc$out" . ($err =~ /\A\S+: (.*)\n/ ? "$1 " : $err),
        "2$why" . ($err =~ /\A\S+: \Q$why\E(.*)\n/ ? "$1 " : '?'), "@args");
}
