#!/usr/bin/perl

# What docs/migration.md says of commands of other tools: each of those that
# stand for them is run against a real nginx, its exit code and output looked
# at; endpoints are asked.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::CLI;
use Test::Litestream::Command qw/ run_command /;
use Test::Litestream::Migration;

my $t = Test::Litestream->new()->has(qw/http auth_basic/)
    ->has_daemon(qw/litestream sqlite3/);

my $dir = $t->testdir;
my @rows = map { @{ $_->{rows} || [] } } migration('../docs/migration.data');

my %expand = (DIR => $dir, STATE => $t->state_path,
    DB => "$dir/app/db.sqlite3", REPLICA => "file://$dir/replica");

my $server = join "\n", map { @{ $_->{server} || [] } } @rows;

$t->write_file_expand('nginx.conf', expand(<<"EOC"));

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  %%REPLICA%%;
    litestream_db       default %%DB%%;
    litestream_db       queue %%DIR%%/queue/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api write=on;
        }

$server
    }
}

EOC

$t->write_file('users', "me:{PLAIN}secret\n");
$t->db('app', rows => 3);
$t->db('queue', rows => 3);
$t->db_dir('replica');

# a command is found as everybody finds it

mkdir "$dir/bin" or die "mkdir() failed: $!\n";
symlink cli_path($t), "$dir/bin/nginx-litestream";
symlink $t->litestream, "$dir/bin/litestream";

$t->run();

is($t->waitforstate($_, 'replicating'), 'replicating', "$_ replicates")
    for qw/ default queue /;

# twice: what is asked while nginx is down comes last

for my $down (0, 1) {
    ok($t->quit(), 'quit') if $down;

    for my $row (@rows) {
        $t->write_file('base.yml', expand(join "\n", @{ $row->{yml} }, ''))
            if $row->{yml} && $row->{asked};

        for (@{ $row->{asked} || [] }) {
            ask($_, "$_->{line}: $row->{they}")
                if $down == ($_->{down} ? 1 : 0);
        }
    }
}

done_testing();


sub ask {
    my ($asked, $name) = @_;

    my ($said, $err) = ('', '');

    if ($asked->{run}) {
        my $command = expand($asked->{run}[0]);

        (my $rc, $said, $err) = run_command({
            env => { PATH => "$dir/bin:$ENV{PATH}",
                LITESTREAM_STATE_PATH => $t->state_path } },
            'sh', '-c', "exec $command");

        my $want = $asked->{rc} ? $asked->{rc}[0] : 0;
        like($rc, qr/^(?:$want)$/, "$name: $command: exit code")
            or diag("$said$err");

    } else {
        my $method = $asked->{get} ? 'GET' : 'POST';
        my $uri = expand(($asked->{get} || $asked->{post})->[0]);

        $uri = "/litestream/$uri" unless $uri =~ m!^/!;

        my $r = response(http_get($uri, method => $method,
            body => ($asked->{body} || [])->[0]));

        is($r->{status}, $asked->{status} ? $asked->{status}[0] : 200,
            "$name: $method $uri: status") or diag($r->{body});
        $said = $r->{body};
    }

    like($said, qr/$_/, "$name: output: $_")
        for map { expand($_) } @{ $asked->{out} || [] };
    like($err, qr/$_/, "$name: stderr: $_")
        for map { expand($_) } @{ $asked->{err} || [] };
}


sub expand {
    my ($text) = @_;

    $text =~ s/%%PORT_(\d+)%%/port($1)/ge;
    $text =~ s/%%([A-Z]+)%%/$expand{$1} \/\/ "%%$1%%"/ge;

    return $text;
}
