#!/usr/bin/perl

# A directory of databases in a bucket of Amazon's, whose name is in that of the
# host, and in one of another provider's, in the path; with TLS, a CA of one's
# own and a proxy, as Litestream is told to use them: what a machine has lost is
# listed and restored.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use File::Path qw/ remove_tree /;
use Test::Litestream;
use Test::Litestream::S3;
use Test::Litestream::TLS;
use Test::Litestream::Wire;

my @providers = (
    [ 'Amazon', 'backups.s3.eu-west-1.amazonaws.com', 'region=eu-west-1' ],
    [ 'another', 's3.us-west-004.example.com', 'region=us-west-004 '
        . 'endpoint=https://s3.us-west-004.example.com' ],
    [ 'another, by name', 'backups.s3.example.com',
        'endpoint=https://s3.example.com force_path_style=off' ],
);

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3 openssl/)->plan(8 * @providers + 2);

my $dir = $t->testdir;
my $cert = Test::Litestream::TLS->cert($t, 's3',
    name => join ',', map { "DNS:$_->[1]" } @providers);

my ($s3, $wire);

for (@providers) {
    my ($name, $host, $params) = @$_;

    $s3 = Test::Litestream::S3->new($t, host => $host =~ /^backups/ ? 1 : 0);
    $wire = Test::Litestream::Wire->new($t, { $host => $s3->addr });

    $s3->tls($cert, $wire);
    $s3->start();

    lost();
    -d "$dir/$_" or $t->db_dir($_) for qw! t t/x !;

    my %db = map { $_ => Test::Litestream::DB->make("$dir/t/$_.db",
        rows => 3) } 'a', 'x/b';

    conf($params, $cert->[0]);
    $t->run();

    is($t->waitforstate("t/$_.db", 'replicating', 30), 'replicating',
        "$name: $_ is replicating") for sort keys %db;
    ok($t->quit(), "$name: quit");

    lost();
    $t->run();

    is($db{$_}->count, 3, "$name: $_ is restored") for sort keys %db;
    ok($t->waituntil(sub { $t->status->{directories}[0]{listed} }),
        "$name: it was listed") or diag($t->status->{directories}[0]{error});
    ok(scalar(grep { $_->{line} =~ /^CONNECT \Q$host\E:/ } $wire->requests),
        "$name: by the proxy");
    ok($t->quit(), "$name: quit");

    $s3->stop() unless $name eq $providers[-1][0];
}

# a CA that nobody knows

lost();
conf($providers[-1][2], '/etc/hostname');

my ($rc, $err) = $t->try_run();

isnt($rc, 0, 'another CA: nginx does not start');
like($err, qr/cannot be listed: .*(?:certificate|CA|SSL)/, 'why');

$s3->stop();


sub lost {
    remove_tree("$dir/s", "$dir/t/x", glob("$dir/t/*.db*"),
        glob "$dir/t/.*-litestream");
}


sub conf {
    my ($params, $ca) = @_;

    $t->write_file('env', join '', map { "$_\n" }
        'LITESTREAM_ACCESS_KEY_ID=' . $s3->key,
        'LITESTREAM_SECRET_ACCESS_KEY=' . $s3->secret);
    chmod 0600, "$dir/env";

    $t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_env_file  %%TESTDIR%%/env;
    litestream_env       SSL_CERT_FILE=$ca;
    ${\ $wire->proxy }
    litestream_restore   blocking timeout=5s;
    litestream_replica   s3://backups/p $params;
    litestream_db        t %%TESTDIR%%/t/**/*.db;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF
}
