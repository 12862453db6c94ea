#!/usr/bin/perl

# A replica in NATS: the example of docs/replicas.md as it stands there; a
# token; then a server that says no, that is away, that goes, and that hangs.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::CLI;
use Test::Litestream::Docs;
use Test::Litestream::HTTP qw/ http_get /;
use Test::Litestream::NATS;
use Test::Litestream::Proc;
use Test::Litestream::Remote;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(92);

my $nats = Test::Litestream::NATS->new($t, user => 'backup');
my $r = Test::Litestream::Remote->new($t, $nats, 'backup-app');

# the example

$nats->start();
$nats->bucket('backup-app');

Test::Litestream::Docs->conf($t, 'NATS',
    env => { NATS_PASSWORD => $nats->password },
    map => [ 'nats.example.com' => $nats->addr ]);

$r->cycle('nats', 'nats://' . $nats->addr . '/backup-app');

cmp_ok($nats->messages('backup-app'), '>', 0, 'the bucket');

$t->stop();

# it says no

conf($nats->password, 'nats://backup:${PASSWORD}@' . $nats->addr
    . '/other-$alias');
$r->denied('no bucket', qr/nats: bucket not found/);

conf('v3ry-wrong');
$r->denied('wrong password', qr/Authorization Violation/, 'v3ry-wrong');

# it is away, it goes, it hangs

my $endpoint = 'nats://' . $nats->addr;

conf($nats->password);

$r->away(qr/no servers available for connection/);
$r->gone(qr/"\Q$endpoint\E" cannot be reached: Connection refused/, 10);
$r->hangs(qr/"\Q$endpoint\E" takes connections, but has not answered/);

# a token, in the URL, where Litestream would not see it

my $token = Test::Litestream::NATS->new($t, token => 1);

$token->start();
$token->bucket('app');

conf($token->token, 'nats://${PASSWORD}@' . $token->addr);

is((cli($t, 'reset', 'app'))[0], 0, 'a token: another replica');
$t->run();

is($t->waitforstate('app', 'replicating', 30), 'replicating', 'a token');
is($t->database('app')->{replica}{url}, 'nats://' . $token->addr . '/app',
    'a token: status: URL');

my $rows = $r->insert(1);

is($t->api('sync/app', method => 'POST')->{synced} ? 1 : 0, 1,
    'a token: synced');
is($token->restore_count('app'), $rows,
    'a token: all rows are in the replica');
is(join('', grep { /\Q${\ $token->token }\E/ } map {
    Test::Litestream::Proc::cmdline($_) } Test::Litestream::Proc::pids()), '',
    'a token: in no arguments');
my $shown = http_get('/litestream/config');

like($shown, qr/token: "\*\*\*"/, 'a token: in the configuration');
unlike($shown, qr/\Q${\ $token->token }\E/, 'a token: masked there');


sub conf {
    my ($password, $url) = @_;

    my $replica = $url ? $url : 'nats://' . $nats->addr . '/backup-$alias'
        . ' username=backup password=${PASSWORD}';

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

    litestream_replica  $replica;
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
