#!/usr/bin/perl

# What "make install" leaves: the module and the file that loads it, and a
# drop-in for nginx.service that systemd takes without a word.

use warnings;
use strict;

use File::Path qw/ make_path /;
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ slurp /;

my $t = Test::Litestream->new()->has_daemon(qw/systemd-analyze/)->plan(21);

my $dir = $t->testdir;
my $root = "$dir/root";
my ($modules) = $t->{version_text} =~ /--modules-path=(\S+)/;

$t->write_file('module.so', 'one');
$t->write_file('litestream', '#!/bin/true');

make_path("$root/etc/nginx/modules-available");

my $out = install();

is(slurp("$root$modules/module.so"), 'one', 'module');
is(mode("$root$modules/module.so"), '0644', 'its mode');
is(slurp("$root/etc/nginx/modules-available/50-mod-litestream.conf"),
    "load_module modules/module.so;\n", 'the file that loads it');
ok(!-e "$root/etc/nginx/modules-enabled", 'not enabled');
ok(!-e "$root/usr/local/bin/litestream", 'Litestream is for no package');
like($out, qr/^Litestream is not installed with DESTDIR: it is \S/m, 'said');
unlike($out, qr/running/, 'nothing to be said of a running nginx');

# again

my $inode = (stat "$root$modules/module.so")[1];

unlike(install(), qr/running/, 'the same module');

$t->write_file('module.so', 'two');
$inode = (stat "$root$modules/module.so")[1];

like(install(), qr/has the module of before: a reload does not change that/,
    'another module');
is(slurp("$root$modules/module.so"), 'two', 'is installed');
isnt((stat "$root$modules/module.so")[1], $inode,
    'not written over the one that may be in use');
is(join(' ', glob "$root$modules/*"), "$root$modules/module.so",
    'nothing is left beside it');

# systemd

$out = run('../tools/install-systemd');

my $name = 'usr/lib/systemd/system/nginx.service.d/50-litestream.conf';
my $conf = slurp("$root/$name");

like($out, qr/^installed \Q$root\/$name\E$/m, 'drop-in');
is(mode("$root/$name"), '0644', 'its mode');

my %said = $conf =~ /^(\w+)=(.+)$/mg;

is($said{TimeoutStartSec}, 'infinity', 'a restore is not killed');
is($said{OOMPolicy}, 'continue', 'out of memory');
is($said{Restart}, 'on-failure', 'restart');
like($conf, qr/^ExecStop=\nExecStop=\S/m, "the unit's own is replaced");

my ($retry) = $said{ExecStop} =~ /--retry QUIT\/(\d+) --pidfile \S+$/;

cmp_ok($retry, '>', 30, 'longer than litestream_shutdown_timeout');
cmp_ok($said{TimeoutStopSec}, '>', $retry, 'and longer still');

# what systemd says of it, together with Debian's unit; and of a mistake

my $said = analyze($conf);
my $wrong = analyze($conf =~ s/^OOMPolicy=/OOMPolicies=/mr);

ok($said eq '' && $wrong =~ /Unknown key.*OOMPolicies/,
    'systemd-analyze verify') or diag("$said\n$wrong");


sub install {
    return run('../tools/install-module', "$dir/module.so", "$dir/litestream");
}


sub run {
    my (@cmd) = @_;

    local $ENV{DESTDIR} = $root;
    local $ENV{NGINX_BINARY} = $ENV{TEST_NGINX_BINARY} || 'nginx';

    my $text = `@cmd 2>&1`;
    is($?, 0, $cmd[0]) or diag($text) if $?;

    return $text;
}


sub analyze {
    my ($text) = @_;

    my $units = "$dir/units";

    make_path("$units/nginx.service.d");
    $t->write_file('units/nginx.service.d/50-litestream.conf', $text);
    $t->write_file('units/nginx.service', <<'EOU');
[Unit]
Description=as Debian has it, its programs elsewhere

[Service]
Type=forking
PIDFile=/run/nginx.pid
ExecStart=/bin/true
ExecStop=-/bin/false
TimeoutStopSec=5
KillMode=mixed
EOU

    local $ENV{SYSTEMD_UNIT_PATH} = "$units:";
    my $said = `systemd-analyze verify --man=no nginx.service 2>&1`;

    # it tells of other units of this machine, too

    return join '', grep { /\Q$units\E|nginx\.service/ }
        split /^/, $said;
}


sub mode {
    my ($name) = @_;
    return sprintf '%04o', 07777 & (stat $name)[2];
}
