#!/usr/bin/perl

# A replica on WebDAV: the examples of docs/replicas.md as they stand there, on
# a server that is a cloud's by name; then a server that says no, that is away,
# that goes, and that hangs.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::CLI;
use Test::Litestream::DAV;
use Test::Litestream::Docs;
use Test::Litestream::Remote;
use Test::Litestream::TLS;
use Test::Litestream::Wire;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3 openssl/)->plan(90);

my $cert = Test::Litestream::TLS->cert($t, 'cloud',
    name => 'DNS:cloud.example.com,IP:127.0.0.1');

# the example, then that with a folder that exists

my $dav = Test::Litestream::DAV->new($t, user => 'backup', tls => $cert);
my $own = Test::Litestream::DAV->new($t, user => 'me', tls => $cert,
    root => '/remote.php/dav/files/me');

$_->start() for $dav, $own;

my $trust = " litestream_env SSL_CERT_FILE=$cert->[0];";

my $wire = Test::Litestream::Wire->new($t,
    { 'cloud.example.com' => $dav->addr });

Test::Litestream::Docs->conf($t, 'WebDAV',
    env => { DAV_PASSWORD => $dav->password }, more => $wire->proxy . $trust);

my $r = Test::Litestream::Remote->new($t, $dav, 'backups/prod/app');

$r->cycle('webdav', 'webdavs://cloud.example.com/backups/prod/app');
$t->stop();

$wire = Test::Litestream::Wire->new($t,
    { 'cloud.example.com' => $own->addr });

Test::Litestream::Docs->conf($t, 'WebDAV', n => 2,
    env => { DAV_PASSWORD => $own->password }, more => $wire->proxy . $trust);

is((cli($t, 'reset', 'app'))[0], 0, 'a folder: another replica');
$t->run();

is($t->waitforstate('app', 'replicating', 30), 'replicating', 'a folder');

my $rows = $r->insert(1);

is($t->api('sync/app', method => 'POST')->{synced} ? 1 : 0, 1,
    'a folder: synced');
is($own->restore_count('backups/app'), $rows,
    'a folder: all rows are in the replica');
like(($own->objects('backups'))[0] // '', qr!^backups/app/ltx/\d/!,
    'a folder: where they are');

$t->stop();
$own->stop();

# it says no

my $plain = Test::Litestream::DAV->new($t);

$plain->start();

$r = Test::Litestream::Remote->new($t, $plain, 'app', db => $r->db);

is((cli($t, 'reset', 'app'))[0], 0, 'another replica');

conf($dav, $dav->password);
$r->denied('a certificate', qr/failed to verify certificate/);

conf($plain, 'v3ry-wrong');
$r->denied('wrong password', qr/Authorize \/: 401/, 'v3ry-wrong');

# it is away, it goes, it hangs

my $endpoint = 'http://' . $plain->addr;

conf($plain, $plain->password);

$r->away(qr/dial tcp \Q${\ $plain->addr }\E: connect: connection refused/);
$r->gone(qr/connection refused/, 10);
$r->hangs(qr/"\Q$endpoint\E" takes connections, but has not answered/);

# what was being uploaded when a Litestream was killed does not stay

is(join(' ', glob $t->state_path . '/*/run/litestream-webdav-*'), '',
    'nothing is left of uploads');


sub conf {
    my ($server, $password) = @_;

    my $url = ($server == $plain ? 'webdav' : 'webdavs') . '://'
        . $server->addr;

    $t->write_file('env', "PASSWORD=$password\n");
    chmod 0600, $t->testdir . '/env';

    $t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_env_file          %%TESTDIR%%/env;
    litestream_restore           blocking timeout=8s;
    litestream_shutdown_timeout  5s;

    litestream_replica  $url webdav_password=\${PASSWORD}
                        webdav_username=${\ $server->user };
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api write=on;
        }
    }
}

EOF
}
