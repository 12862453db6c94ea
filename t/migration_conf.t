#!/usr/bin/perl

# What docs/migration.md says of settings of other tools: the real nginx takes
# them, and litestream.yml has what the row says; the page is made of its data;
# each row is tested, here or in another t/migration_*.t, or says why it is not
# offered.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Migration;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/);

my $dir = $t->testdir;
my %expand = (DIR => $dir, USER => ($t->user)[0]);

$expand{DB} = $t->db('app')->path;
$expand{QUEUE} = $t->db('queue')->path;
$expand{THIRD} = $t->db('third')->path;
$t->db_dir('replica');
$t->write_file('secrets', "SFTP_PASSWORD=s3cret\n");
chmod 0600, "$dir/secrets";

my @rows = map { @{ $_->{rows} || [] } } migration('../docs/migration.data');

cmp_ok(scalar @rows, '>', 100, 'rows');

for my $row (@rows) {
    my $name = "$row->{line}: $row->{they}";

    if ($row->{no}) {
        ok($row->{no}[0] =~ /\S.{10}/ && !$row->{conf},
            "$name: a reason");
        next;
    }

    ok($row->{conf} || $row->{asked} || $row->{test} || $row->{same},
        "$name: is tested");
    ok($row->{case} || $row->{here} && $row->{here}[0] =~ /\S/,
        "$name: says what it is here");

    for (@{ $row->{test} || [] }) {
        my ($file, $text) = /^(\S+): (.+)$/;
        like($t->read_file("$FindBin::Bin/$file") // '', qr/\Q$text\E/,
            "$name: $file");
    }

    configuration($row, $name) if $row->{conf};
}

is(system('../tools/make-migration', '-check'), 0, 'the page is made of it');

done_testing();


sub configuration {
    my ($row, $name) = @_;

    my %field = map { $_ => [ map { expand($_) } @{ $row->{$_} || [] } ] }
        qw/ conf yml env want without emerg warn dump bin /;

    my @conf = @{ $field{conf} };

    push @conf, 'litestream_base_config base.yml;'
        if @{ $field{yml} } && !grep { /litestream_base_config/ } @conf;

    $t->write_file('base.yml', join "\n", @{ $field{yml} }, '');
    chmod 0600, "$dir/base.yml";

    my $bin = $t->litestream_bin;
    $t->litestream_bin($field{bin}[0]) if @{ $field{bin} };

    $t->write_file_expand('nginx.conf', join "\n", '%%TEST_GLOBALS%%',
        'daemon off;', 'events { }', 'http {', '%%TEST_GLOBALS_HTTP%%', @conf,
        'server { listen 127.0.0.1:8080; } }');
    chmod 0600, "$dir/nginx.conf";

    $t->litestream_bin($bin);

    my %env = map { /^(\w+)=(.*)$/ } @{ $field{env} };
    my ($rc, $out) = $t->nginx({ env => \%env }, '-T');

    is($rc, @{ $field{emerg} } ? 1 : 0, "$name: nginx -T") or diag($out);
    like($out, qr/\[emerg\].*$_/, "$name: $_") for @{ $field{emerg} };
    like($out, qr/\[warn\].*$_/, "$name: $_") for @{ $field{warn} };
    like($out, qr/$_/, "$name: $_") for @{ $field{dump} };

    return if @{ $field{emerg} } || @{ $field{dump} };

    my (undef, @dumps) = split m!^# configuration file \S+/litestream\.yml:\n!m,
        $out;

    like("@dumps", qr/$_/, "$name: $_") for @{ $field{want} };
    unlike("@dumps", qr/$_/, "$name: without $_") for @{ $field{without} };

    # as Litestream reads it

    for (@dumps) {
        $t->write_file('generated.yml', s/"\*\*\*"/"x"/gr);

        my ($code, undef, $err) = $t->command($t->litestream_bin,
            'databases', '-config', "$dir/generated.yml");
        is("$code$err", '0', "$name: Litestream accepts it");
    }
}


sub expand {
    my ($text) = @_;

    $text =~ s/%%PORT_(\d+)%%/port($1)/ge;
    $text =~ s/%%([A-Z]+)%%/$expand{$1} \/\/ die "%%$1%%?\n"/ge;

    return $text;
}
