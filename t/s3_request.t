#!/usr/bin/perl

# What the S3 server is asked for: the region and the key are those that were
# said, the bucket is in the path, or in the name of the host, and a session
# token of temporary keys comes along.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::S3;
use Test::Litestream::Wire;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(19);

my $s3 = Test::Litestream::S3->new($t);
my $hosted = Test::Litestream::S3->new($t, key => $s3->key,
    secret => $s3->secret, host => 1);

$_->start() for $s3, $hosted;

my $db = $t->db('app', rows => 3);
my ($key, $secret) = ($s3->key, $s3->secret);

# keys by parameters

my $wire = run('region=eu-north-1 access_key_id=${KEY} '
    . 'secret_access_key=${SECRET}', "KEY=$key\nSECRET=$secret\n");

my ($get) = grep { $_->{line} =~ /^GET / } $wire->requests;

like($get->{line}, qr!^GET /backups\?.*prefix=prod!, 'bucket in the path');
is($get->{headers}{host}, $wire->addr, 'bucket in the path: host');
like($get->{headers}{authorization},
    qr!Credential=\Q$key\E/\d+/eu-north-1/s3/aws4_request!, 'key and region');
is($get->{headers}{'x-amz-security-token'}, undef, 'no token');

# temporary keys, by the environment, and no region

$wire = run('', "AWS_ACCESS_KEY_ID=$key\nAWS_SECRET_ACCESS_KEY=$secret\n"
    . "AWS_SESSION_TOKEN=token-of-a-session\n");

my @requests = $wire->requests;

is(scalar(grep { ($_->{headers}{'x-amz-security-token'} // '')
    eq 'token-of-a-session' } @requests), scalar @requests,
    'session token: in each request');
like($requests[0]{headers}{authorization}, qr!/us-east-1/s3/!,
    'the region of Litestream');

unlike(join("\n", $t->read_log, response(http_get('/litestream/config'))->{body},
    ($t->nginx('-T'))[1]), qr/token-of-a-session/, 'session token: not shown');

# as parameters they would come without: nginx says so

conf('access_key_id=ASIA0123456789ABCDEF secret_access_key=${S}', "S=x\n", '');

my ($rc, $err) = $t->conf_test();
my ($warning) = grep { /\[warn\].*is a temporary key/ } split /\n/, $err;
my $line = $t->line_of(qr/litestream_replica/);

like($warning, qr/AWS_SESSION_TOKEN.* in \S+nginx\.conf:$line$/,
    'temporary key as a parameter: warned');

# the bucket as a name, of a host that only a proxy knows

$wire = run('endpoint=http://storage.example force_path_style=off',
    "LITESTREAM_ACCESS_KEY_ID=$key\nLITESTREAM_SECRET_ACCESS_KEY=$secret\n",
    $hosted);

($get) = grep { $_->{line} =~ /^GET / } $wire->requests;

like($get->{line}, qr!^GET http://backups\.storage\.example/\?.*prefix=prod!,
    'bucket in the name: by the proxy');
is($get->{headers}{host}, 'backups.storage.example',
    'bucket in the name: host');


# replicates, to the end, and gives the wire to the server

sub run {
    my ($params, $env, $server) = @_;

    my $wire = Test::Litestream::Wire->new($t, ($server // $s3)->addr);
    my $addr = $wire->addr;
    my $name = $server ? 'bucket in the name' : $params ? 'parameters'
        : 'environment';

    $t->stop();

    $params .= " endpoint=http://$addr" unless $server;
    conf($params, $env,
        $server ? "litestream_env http_proxy=http://$addr;" : '');

    $t->run();

    is($t->waitforstate('app', 'replicating'), 'replicating', "$name: state");

    $db->insert(1);

    is($t->api('sync/app', method => 'POST')->{synced} ? 1 : 0, 1,
        "$name: synced");
    ok(scalar(grep { $_->{line} =~ m!^PUT \S*/prod/app/0000/! }
        $wire->requests), "$name: an object");

    return $wire;
}


sub conf {
    my ($params, $env, $proxy) = @_;

    $t->write_file('env', $env);
    chmod 0600, $t->testdir . '/env';

    $t->write_file_expand('nginx.conf', <<"EOC");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_env_file  %%TESTDIR%%/env;
    $proxy
    litestream_replica   s3://backups/prod $params;
    litestream_db        app %%TESTDIR%%/app/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api write=on;
        }
    }
}

EOC
}
