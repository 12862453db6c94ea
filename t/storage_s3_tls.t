#!/usr/bin/perl

# S3 with a certificate that nobody knows.  Litestream itself goes on trying
# for ever and never names it; the status does, in seconds, and nginx says it
# when it cannot start.  With skip_verify, or with the certificate in
# SSL_CERT_FILE, the database is replicated, verified and restored.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::S3;
use Test::Litestream::TLS;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3 openssl/)->plan(35);

my $cert = Test::Litestream::TLS->cert($t, 'server');
my $other = Test::Litestream::TLS->cert($t, 'other',
    name => 'DNS:other.example');

my $s3 = Test::Litestream::S3->new($t, tls => $cert);
my $wrong = Test::Litestream::S3->new($t, tls => $other, key => $s3->key,
    secret => $s3->secret);
my $plain = Test::Litestream::S3->new($t, key => $s3->key,
    secret => $s3->secret);

$_->start() for $s3, $wrong, $plain;

my $db = $t->db('app', rows => 3);

# refused, each with its reason: nothing has been replicated

my $cert_file = "litestream_env SSL_CERT_FILE=$other->[0];";

my @cases = (
    [ 'unknown', $s3->endpoint, '', '', qr/self.signed|not trusted|verif/i,
      qr/SSL_CERT_FILE by "litestream_env", or "skip_verify=on"/ ],
    [ 'other name', $wrong->endpoint, '', $cert_file,
      qr/127\.0\.0\.1|subject|name/i, qr/SSL_CERT_FILE/ ],
    [ 'no TLS', $plain->endpoint =~ s/http:/https:/r, 'skip_verify=on', '',
      qr/version|record|packet|handshake|TLS/i, qr// ],
);

for (@cases) {
    my ($name, $endpoint, $param, $env, $why, $hint) = @$_;

    conf($endpoint, $param, $env);

    my $from = $t->now;

    $t->run();

    is($t->api('ready')->{ready} ? 1 : 0, 1, "$name: ready");
    ok($t->waituntil(sub { $t->database('app')->{error} }, 12),
        "$name: the reason comes");
    cmp_ok($t->now - $from, '<', $t->ceiling(9), "$name: in seconds");
    like($t->database('app')->{error},
        qr/TLS with "\Q$endpoint\E" fails: .*$why.*$hint/, "$name: reason");
    is($t->waitforstate('app', 'error', 25), 'error', "$name: error");
    like($t->database('app')->{error},
        qr/no answer within .*TLS with "\Q$endpoint\E" fails: /,
        "$name: the reason stays");

    $t->stop();
}

# a missing database

conf($s3->endpoint);

rename $db->path, $db->path . '-kept';

my $from = $t->now;
my ($rc, $err) = $t->try_run(ceiling => 40);

isnt($rc, 0, 'missing: nginx does not start');
cmp_ok($t->now - $from, '<', $t->ceiling(20), 'missing: within the timeout');
like($err, qr/\[emerg\].*"app".*TLS with "\Q${\ $s3->endpoint }\E" fails/,
    'missing: the reason');
is(-e $db->path ? 1 : 0, 0, 'missing: nothing was made');

$t->stop() unless $rc;
rename $db->path . '-kept', $db->path;

# accepted

my $rows = 3;

for ([ 'skip_verify', 'skip_verify=on', '' ],
     [ 'SSL_CERT_FILE', '', "litestream_env SSL_CERT_FILE=$cert->[0];" ])
{
    my ($name, $param, $env) = @$_;

    conf($s3->endpoint, $param, $env);

    $t->run();

    is($db->count, $rows, "$name: all rows are there");
    is($t->waitforstate('app', 'replicating', 40), 'replicating',
        "$name: replicated");
    is($t->database('app')->{error}, undef, "$name: no error");

    $rows = $db->insert(2);

    is($t->api('sync/app', method => 'POST')->{synced} ? 1 : 0, 1,
        "$name: synced");
    is($db->restore_count($s3->url('backups/prod/app'), env => $s3->env),
        $rows, "$name: all rows are in the replica");
    is($t->api('verify/app', method => 'POST')->{verified} ? 1 : 0, 1,
        "$name: verified");

    $t->stop();

    # the next one restores it

    $db->remove();
}

$t->run();

is($db->count, $rows, 'restored');


sub conf {
    my ($endpoint, $param, $env) = @_;

    $_ //= '' for $param, $env;

    $t->write_file('env', 'KEY=' . $s3->key . "\nSECRET=" . $s3->secret
        . "\n");
    chmod 0600, $t->testdir . '/env';

    $t->write_file_expand('nginx.conf', <<"EOC");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_env_file  %%TESTDIR%%/env;
    $env
    litestream_restore   blocking timeout=8s;
    litestream_replica   s3://backups/prod region=us-east-1
                         endpoint=$endpoint $param
                         access_key_id=\${KEY} secret_access_key=\${SECRET};
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
