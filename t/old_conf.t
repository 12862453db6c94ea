#!/usr/bin/perl

# What Litestream 0.3.13 cannot do is said when nginx starts: as a warning where
# replication is as good without it, as an error of the database where it would
# be another one, and nginx goes on with all others.

use warnings;
use strict;

use Test::More;

use IO::Socket::INET;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ config_of slurp /;

my $t = Test::Litestream->new()->has(qw/http/)->old()
    ->has_daemon(qw/litestream sqlite3/)->plan(24);

my $dir = $t->testdir;

$t->write_file_expand('base.yml', <<'EOF');
l0-retention: 5m
snapshot:
  interval: 3h
  retention: 36h
dbs:
  - path: %%TESTDIR%%/app/base.sqlite3
    checkpoint-interval: 30s
    truncate-page-n: 1000
    replica:
      path: %%TESTDIR%%/replica/base
      sync-interval: 2s
      validation-interval: 1h
EOF

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_base_config  %%TESTDIR%%/base.yml;

    server {
        listen  127.0.0.1:8080;

        litestream_mcp_addr      127.0.0.1:%%PORT_8098%%;
        litestream_metrics_addr  127.0.0.1:%%PORT_8097%%;

        litestream_db  app %%TESTDIR%%/app/app.sqlite3
                       replica=file://%%TESTDIR%%/replica/app;

        location /litestream/ {
            litestream_api write=on db=app db=base db=dav db=enc;
        }
    }

    server {
        listen  127.0.0.1:8081;

        litestream_db  dav %%TESTDIR%%/app/dav.sqlite3
                       replica=webdav://127.0.0.1:%%PORT_8099%%/dav;
    }

    server {
        listen  127.0.0.1:8082;

        litestream_replica  s3://bucket/$alias region=us-east-1
                            endpoint=http://127.0.0.1:%%PORT_8099%%
                            access_key_id=a secret_access_key=b
                            sse_kms_key_id=the-key;

        litestream_db       enc %%TESTDIR%%/app/enc.sqlite3;
    }
}

EOF

my $db = $t->db('app', rows => 3);

for my $name (qw/ app base dav enc /) {
    $t->command('cp', '-a', $db->path, $db->dir . "/$name.sqlite3");
}

$t->db_dir('replica');
$t->run();

# as good without it: a warning

is($t->waitforstate($_, 'replicating', 30), 'replicating', "$_: replicating")
    for qw/ app base /;

is(scalar(() = $t->read_log(qr/\[warn\].* 0\.3\.13 has no MCP server: "lite/)),
    1, 'no MCP: a warning');
ok(!IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . port(8098)),
    'no MCP: nobody listens');
ok($t->read_log(qr/\[warn\].* 0\.3\.13 does not know 2 of the settings in "/),
    'keys of the base file: a warning');

my ($base) = grep { /base\.sqlite3/ } map { slurp(config_of($_)->{file}) }
    $t->litestream_pids;

like($base, qr/^ +\Q$_\E$/m, "base file: $_")
    for 'checkpoint-interval: 30s', 'sync-interval: 2s',
        'validation-interval: 1h', 'snapshot-interval: 3h', 'retention: 36h';
unlike($base, qr/truncate|l0/, 'base file: nothing else');

# its own metrics

my $metrics = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . port(8097));

print $metrics "GET /metrics HTTP/1.0\r\n\r\n";
like(do { local $/; <$metrics> },
    qr/^litestream_replica_wal_offset\{db="\S+app\.sqlite3"/m, 'its metrics');

# another one without it: it is not replicated

for ([ 'dav', qr/Litestream 0\.3 does not know replica type "webdav"$/ ],
     [ 'enc', qr/0\.3 does not know "sse-kms-key-id" of replica type "s3"$/ ])
{
    my ($name, $why) = @$_;

    is($t->waitforstate($name, 'error', 30), 'error', "$name: state");
    like($t->database($name)->{error}, $why, "$name: why");
    ok($t->read_log(qr/\[error\].*database "$name": Litestream 0\.3 does not/),
        "$name: in the log");
    is($t->api("ready?db=$name")->{ready}, 1, "$name: it is served");
}

is(scalar $t->litestream_pids, 2, 'no Litestream is started for them');

# the configuration, as it is used: without them

my $yml = response(http_get('/litestream/config'))->{body};

like($yml, qr!path: \S+/base\.sqlite3"!, 'config: those that are replicated');
unlike($yml, qr/sse|the-key/, 'config: no key that it does not know');

ok($t->quit(), 'quit');
