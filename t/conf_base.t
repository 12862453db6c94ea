#!/usr/bin/perl

# litestream_base_config: a litestream.yml underneath.  nginx.conf wins key by
# key, what only the file says is passed, its databases are adopted; the real
# Litestream accepts what comes out.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/);

my $dir = $t->testdir;

$t->db($_) for qw/ one two app blog /;
$t->db_dir($_) for qw/ replica /;
symlink "$dir/two", "$dir/link";

my $rep = 'litestream_replica file://%%TESTDIR%%/replica;';
my $one = "$rep\nlitestream_db one %%TESTDIR%%/one/db.sqlite3";

# name, what stands in http{}, the file, what the result has to have, what not
# (a reference to it)

my @cases = (

[ 'an empty file', "$one;", '', qr/^  monitor-interval: 1s$/m,
  qr/^    sync-interval: 1s$/m ],

[ 'nothing but comments', "$one;", "# x\n", qr/monitor-interval: 1s/ ],

[ 'the top', "$one;", <<'EOF',
levels:
  - interval: 30s
  - interval: 5m
snapshot:
  interval: 1h
  retention: 168h
validation: {interval: 6h}
l0-retention: 10m
l0-retention-check-interval: 15s
verify-compaction: yes
retention: {enabled: false}
heartbeat-url: https://example.com/ping/uuid
heartbeat-interval: 90s
shutdown-sync-interval: 250ms
logging:
  level: debug
  source: true
EOF
  qr/^levels:\n- interval: 30s\n- interval: 5m$/m,
  qr/^snapshot:\n  interval: 1h\n  retention: 168h$/m,
  qr/^validation:\n  interval: 6h$/m, qr/^l0-retention: 10m$/m,
  qr/^l0-retention-check-interval: 15s$/m, qr/^verify-compaction: true$/m,
  qr/^retention:\n  enabled: false$/m, qr/^heartbeat-url: "\*\*\*"$/m,
  qr/^heartbeat-interval: 90s$/m, qr/^shutdown-sync-interval: 250ms$/m,
  qr/^logging:\n  type: json\n  level: debug\n  source: true$/m,
  \qr/example\.com/ ],

[ 'keys without values', "$one;", <<'EOF',
levels:
snapshot: ~
l0-retention: null
logging: {level: }
dbs:
EOF
  \qr/levels|snapshot|l0|null/, qr/^  level: info$/m ],

[ 'a database of both', "$one;", <<'EOF',
dbs:
  - path: %%TESTDIR%%/one/db.sqlite3
    monitor-interval: 3s
    checkpoint-interval: 2m
    busy-timeout: 4s
    min-checkpoint-page-count: 500
    truncate-page-n: 100000
    max-sync-wal-bytes: 1048576
    replica:
      type: file
      path: %%TESTDIR%%/else/where
      sync-interval: 7s
      validation-interval: 1h
      max-sync-ltx-files: 5
      auto-recover: true
EOF
  qr/^  monitor-interval: 3s$/m, qr/^  checkpoint-interval: 2m$/m,
  qr/^  busy-timeout: 4s$/m, qr/^  min-checkpoint-page-count: 500$/m,
  qr/^  truncate-page-n: 100000$/m, qr/^  max-sync-wal-bytes: 1048576$/m,
  qr!^    path: "$dir/else/where"$!m, qr/^    sync-interval: 7s$/m,
  qr/^    validation-interval: 1h$/m, qr/^    max-sync-ltx-files: 5$/m,
  qr/^    auto-recover: true$/m, \qr!/replica!, \qr/interval: 1s/ ],

[ 'nginx.conf wins, key by key', "$one sync_interval=2s busy_timeout=9s"
    . ' replica=file://%%TESTDIR%%/replica/mine;', <<'EOF',
dbs:
  - path: %%TESTDIR%%/one/db.sqlite3
    monitor-interval: 3s
    checkpoint-interval: 2m
    busy-timeout: 4s
    replica:
      url: file://%%TESTDIR%%/else/where
      sync-interval: 7s
      auto-recover: true
EOF
  qr/^  monitor-interval: 2s$/m, qr/^  checkpoint-interval: 2m$/m,
  qr/^  busy-timeout: 9s$/m, qr!^    path: "$dir/replica/mine"$!m,
  qr/^    sync-interval: 2s$/m, \qr/: (3|4|7)s|auto-recover|else/ ],

[ 'one of the two intervals', "$one;", <<'EOF',
dbs:
  - path: %%TESTDIR%%/one/db.sqlite3
    replica: {path: %%TESTDIR%%/replica/x, sync-interval: 7s}
EOF
  qr/^    sync-interval: 7s$/m, \qr/monitor-interval/ ],

[ 'through a link', "$rep\nlitestream_db two %%TESTDIR%%/link/db.sqlite3;",
  <<'EOF', qr/^  truncate-page-n: 7$/m, qr!/replica/two"!,
dbs:
  - path: %%TESTDIR%%/two/db.sqlite3
    truncate-page-n: 7
EOF
],

[ 'defaults of all replicas', "$rep
    litestream_db one %%TESTDIR%%/one/db.sqlite3;
    litestream_db two %%TESTDIR%%/two/db.sqlite3 sync_interval=2s;", <<'EOF',
sync-interval: 20s
auto-recover: true
region: eu-west-1
secret-access-key: verysecret
dbs:
  - path: %%TESTDIR%%/app/db.sqlite3
    replica: {path: %%TESTDIR%%/replica/x, sync-interval: 7s}
EOF
  replica('one', '20s', ''), replica('two', '2s', "  monitor-interval: 2s\n"),
  replica('app', '7s', ''),
  \qr/eu-west|verysecret/ ],

[ 'the old form', '', <<'EOF', qr!^    path: "$dir/replica/x"$!m,
dbs:
  - path: %%TESTDIR%%/one/db.sqlite3
    replicas:
      - name: main
        path: %%TESTDIR%%/replica/x
EOF
  qr/^    name: main$/m ],

[ 'replicas of nginx.conf', $rep, <<'EOF', qr!^    path: "$dir/replica/db"$!m,
dbs:
  - path: %%TESTDIR%%/one/db.sqlite3
EOF
],

[ 'snapshots of a database', "$one;", <<'EOF',
dbs:
  - path: %%TESTDIR%%/one/db.sqlite3
    snapshot: {interval: 2h}
  - path: %%TESTDIR%%/two/db.sqlite3
    snapshot: {interval: 120m, retention: 72h}
EOF
  qr/^snapshot:\n  interval: 2h\n  retention: 72h$/m ],

[ 'snapshots of a database, and of all', "$one;", <<'EOF',
dbs:
  - path: %%TESTDIR%%/one/db.sqlite3
    snapshot: {interval: 2h, retention: 72h}
snapshot: {interval: 1h}
EOF
  qr/^snapshot:\n  interval: 1h\n  retention: 72h$/m ],

[ 'litestream_snapshot wins, key by key',
    "$one;\nlitestream_snapshot retention=72h;", <<'EOF',
snapshot: {interval: 1h, retention: 168h}
EOF
  qr/^snapshot:\n  retention: 259200s\n  interval: 1h$/m, \qr/168h/ ],

[ 'another one for a site', "$one;
    server {
        litestream_snapshot interval=2h;
        litestream_db two %%TESTDIR%%/two/db.sqlite3;
    }", <<'EOF',
snapshot: {interval: 1h, retention: 168h}
EOF
  qr/^snapshot:\n  interval: 1h\n  retention: 168h$/m ],

[ 'variables', '', <<'EOF',
# $HOME and $$ in a comment
l0-retention: ${L0}
heartbeat-interval: "$MIN"
dbs:
  - path: ${DIR}/one/db.sqlite3
    replica:
      path: '$DIR/replica/${ODD}'
EOF
  qr/^l0-retention: 7m$/m, qr/^heartbeat-interval: "2m"$/m,
  qr!^- path: "$dir/one/db\.sqlite3"$!m,
  qr!^    path: "$dir/replica/it's: #x"$!m ],

[ 'variables of nginx.conf', "litestream_env L0=8m;
    litestream_env_file env;
    litestream_env KEEP=\${L0};", <<'EOF',
l0-retention: ${L0}
heartbeat-interval: ${MIN}
heartbeat-url: ${PING}
dbs:
  - path: ${DIR}/one/db.sqlite3
    replica: {path: '${DIR}/replica/${EMPTY}x', name: $KEEP}
EOF
  qr/^l0-retention: 8m$/m, qr/^heartbeat-interval: 3m$/m,
  qr!^    path: "$dir/replica/x"$!m, qr/^    name: 9m$/m,
  qr/^heartbeat-url: "\*\*\*"$/m, \qr/ping\.example/ ],

[ 'variables that stay as they are', "litestream_expand_env off;", <<'EOF',
dbs:
  - path: %%TESTDIR%%/one/db.sqlite3
    replica:
      path: '%%TESTDIR%%/replica/${ODD}/$DIR/$/$alias'
EOF
  qr!^    path: "$dir/replica/\\x24\{ODD\}/\\x24DIR/\\x24/\\x24alias"$!m ],

[ 'what is in a variable stays as it is', '', <<'EOF',
dbs:
  - path: %%TESTDIR%%/one/db.sqlite3
    replica: {path: '%%TESTDIR%%/replica/${RAW}'}
EOF
  qr!^    path: "$dir/replica/\\x24\{L0\}\\x24file"$!m ],

# s3

[ 's3', 'litestream_expand_env off;', <<'EOF',
dbs:
  - path: %%TESTDIR%%/one/db.sqlite3
    replica:
      type: s3
      bucket: backups
      path: /prod/one/
      region: eu-west-1
      endpoint: 127.0.0.1:9000
      access-key-id: AKIDfile
      secret-access-key: 'v3ry$$ecret'
      force-path-style: yes
      skip-verify: false
      part-size: 8MB
      concurrency: 3
      storage-class: STANDARD_IA
      sse-customer-algorithm: AES256
      sse-customer-key: ${SECRET}
      sync-interval: 5s
EOF
  qr/^    type: "s3"\n    bucket: "backups"\n    path: "prod\/one"$/m,
  qr/^    region: "eu-west-1"$/m,
  qr/^    endpoint: "http:\/\/127\.0\.0\.1:9000"$/m,
  qr/^    access-key-id: "\*\*\*"$/m, qr/^    secret-access-key: "\*\*\*"$/m,
  qr/^    force-path-style: true$/m, qr/^    skip-verify: false$/m,
  qr/^    part-size: "8000000"$/m, qr/^    concurrency: 3$/m,
  qr/^    storage-class: "STANDARD_IA"$/m,
  qr/^    sse-customer-algorithm: "AES256"$/m,
  qr/^    sse-customer-key: "\*\*\*"$/m, qr/^    sync-interval: 5s$/m,
  \qr/AKIDfile|v3ry|SECRET/ ],

[ 's3, by a URL', '', <<'EOF',
dbs:
  - path: %%TESTDIR%%/one/db.sqlite3
    replica:
      url: s3://backups/one?endpoint=http%3A%2F%2F127.0.0.1%3A9000
      region: eu-west-1
EOF
  qr/^    type: "s3"\n    bucket: "backups"\n    path: "one"$/m,
  qr/^    endpoint: "http:\/\/127\.0\.0\.1:9000"$/m,
  qr/^    region: "eu-west-1"$/m ],

[ 's3, variables of nginx.conf', "litestream_env_file env;", <<'EOF',
access-key-id: ${KEY}
secret-access-key: ${SECRET}
bucket: all
dbs:
  - path: %%TESTDIR%%/one/db.sqlite3
    replica: {type: s3, path: one, secret-access-key: other, bucket: mine}
  - path: %%TESTDIR%%/two/db.sqlite3
    replica: {type: s3, path: two}
EOF
  qr/^    bucket: "mine"\n    path: "one"$/m,
  qr/^    bucket: "all"\n    path: "two"$/m, \qr/AKIDenv|s3cret-of|other/,
  qr/(?:^    access-key-id: "\*\*\*"\n.*){2}/ms,
  qr/(?:^    secret-access-key: "\*\*\*"\n.*){2}/ms ],

[ 's3, keys of all, and those of nginx.conf',
  'litestream_replica s3://conf/x region=here access_key_id=AKIDconf
       secret_access_key=secret-of-conf;
    litestream_db one %%TESTDIR%%/one/db.sqlite3;
    litestream_db two %%TESTDIR%%/two/db.sqlite3
       replica=s3://literal/y;
    litestream_db app %%TESTDIR%%/app/db.sqlite3
       replica=file://%%TESTDIR%%/replica/app;', <<'EOF',
access-key-id: AKIDfile
secret-access-key: v3rysecret
region: there
endpoint: http://127.0.0.1:9000/
bucket: not-of-a-url
sign-payload: true
EOF
  qr/"conf"\n    path: "x\/one"\n    region: "here"\n    access-key-id: /m,
  qr/"literal"\n    path: "y"\n    access-key-id: "\*\*\*"\n/m,
  qr/^    region: "there"\n    endpoint: "http:\/\/127\.0\.0\.1:9000"$/m,
  qr/(?:^    sign-payload: true\n.*){2}/ms,
  \qr/(?:^    endpoint: .*){3}|v3ry|AKID|of-conf|not-of/ms ],

[ 'unknown keys', "$one;", <<'EOF', 'unknown=pass',
extra: {a: [1, 'x', {b: ~}], api-token: t0psecret}
snapshot: {jitter: 3s}
dbs:
  - path: %%TESTDIR%%/one/db.sqlite3
    db-extra: "true"
    replica: {path: %%TESTDIR%%/replica/x, replica-extra: 5, region: x}
EOF
  qr/^extra:\n  a:\n  - 1\n  - "x"\n  - b: ~\n  api-token: "\*\*\*"\n/m,
  qr/^  jitter: 3s$/m, qr/^  db-extra: "true"$/m,
  qr/^    replica-extra: 5$/m, qr/^    region: x$/m, \qr/t0psecret/ ],

[ 'JSON, and a byte order mark', $rep, "\xef\xbb\xbf"
    . '{"l0-retention": "6m", "dbs": [{"path": "%%TESTDIR%%/one/db.sqlite3"}]}',
  qr/^l0-retention: "6m"$/m, qr!one/db\.sqlite3"! ],

);

my $n = 0;

for (@cases) {
    $n += 3 + grep { ref } @$_;
}

$t->plan($n + 14);

$ENV{DIR} = $dir;
$ENV{L0} = '7m';
$ENV{MIN} = '2m';
$ENV{ODD} = "it's: #x";
$ENV{RAW} = '${L0}$file';

$t->write_file('env', <<'EOF');
L0=9m
MIN=3m
EMPTY=
PING=http://ping.example/x
KEY=AKIDenv
SECRET='s3cret-of-$env'
EOF
chmod 0600, "$dir/env";

for (@cases) {
    my ($name, $http, @rest) = @$_;

    # what is no pattern is the file, and its parameter

    my ($yml, $pass) = grep { !ref } @rest;
    my @want = grep { ref } @rest;

    configure($http, $yml, $pass ? " $pass" : '');

    my ($rc, $out) = $t->nginx('-T');

    is($rc, 0, $name) or diag($out);

    my (undef, @dumps) = split m!^# configuration file \S+/litestream\.yml:\n!m,
        $out;
    my $dump = join '', @dumps;

    for (@want) {
        ref $_ eq 'Regexp' ? like($dump, $_, "$name: $_")
            : unlike($dump, $$_, "$name: without $$_");
    }

    # as Litestream reads it

    my ($list, @refused) = '';

    for (@dumps) {
        $t->write_file('generated.yml', s/"\*\*\*"/"http:\/\/x"/gr);

        # without -no-expand-env: nothing may be there to expand

        my ($code, $said, $err) = $t->command($t->litestream_bin, 'databases',
            '-config', "$dir/generated.yml");

        $list .= $said;
        push @refused, $err if $code;
    }

    is("@refused", '', "$name: Litestream accepts it") or diag($dump);
    is(scalar(() = $list =~ /^$dir\S+ +(?:file|s3)/mg),
        scalar(() = $dump =~ /^- path: "/mg), "$name: all databases");
}

# adopted databases run like others; their aliases

configure("$rep\nlitestream_db db %%TESTDIR%%/one/db.sqlite3;", <<'EOF', '');
l0-retention: 6m
dbs:
  - path: %%TESTDIR%%/app/db.sqlite3
  - path: %%TESTDIR%%/one/db.sqlite3
    monitor-interval: 2s
  - path: %%TESTDIR%%/blog/db.sqlite3
    replica:
      url: file://%%TESTDIR%%/replica/old-blog
  - path: %%TESTDIR%%/two/a b.sqlite3
EOF

$t->run();

is(join(' ', map { $_->{alias} } @{ $t->status->{databases} }),
    'db app-db blog-db a_b', 'aliases');
is($t->waitforstate('blog-db', 'replicating'), 'replicating', 'replicating');
is($t->waitforstate('a_b', 'new'), 'new', 'new');
is($t->database('blog-db')->{replica}{url}, "file://$dir/replica/old-blog",
    'its own replica');
is($t->database('app-db')->{replica}{url}, "file://$dir/replica/app-db",
    'that of nginx.conf');
ok($t->waitforfile('replica/old-blog/ltx'), 'the backup');

# what it says counts for a reload, what it does not say does not

my $sup = $t->supervisor_pid;

$t->write_file('base.yml', "# x\n" . $t->read_file('base.yml'));

ok($t->reload, 'reload');
is($t->supervisor_pid, $sup, 'a comment: the supervisor is kept');

$t->write_file('base.yml', $t->read_file('base.yml') =~ s/6m/7m/r);

ok($t->reload, 'reload with another file');
ok($t->waituntil(sub {
    my @pids = $t->supervisor_pids;
    return @pids == 1 && $pids[0] != $sup;
}), 'a change: another supervisor');
is($t->waitforstate('db', 'replicating'), 'replicating', 'replicating again');

# a broken one changes nothing

$sup = $t->supervisor_pid;
$t->write_file('base.yml', "l0-retention: long\n");

ok(!$t->reload, 'a broken file is refused');
is($t->supervisor_pid, $sup, 'the supervisor is kept');
is($t->database('db')->{state}, 'replicating', 'replicating still');


# a database with these intervals, and what is said of all replicas

sub replica {
    my ($name, $sync, $monitor) = @_;

    return qr!
        ^-\ path:\ "$dir/$name/db\.sqlite3"\n
        \Q$monitor\E\ \ replica:\n
        \ +type:\ "file"\n
        \ +path:\ "$dir/replica/\w+"\n
        \ +sync-interval:\ $sync\n
        \ +auto-recover:\ true\n
    !mx;
}


sub configure {
    my ($http, $yml, $param) = @_;

    $t->write_file_expand('base.yml', $yml);
    chmod 0600, "$dir/base.yml";
    $t->write_file_expand('nginx.conf', <<EOF);
%%TEST_GLOBALS%%
daemon off;
events { }
http {
    %%TEST_GLOBALS_HTTP%%
$http
    litestream_base_config base.yml$param;
    server {
        listen 127.0.0.1:8080;
        location /litestream/ { litestream_api; }
    }
}
EOF
}
