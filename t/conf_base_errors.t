#!/usr/bin/perl

# A litestream_base_config that is refused: file and line of what is to blame,
# never a secret, and a word on what to say instead.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/);

my $dir = $t->testdir;

$t->db($_) for qw/ one two /;
$t->db_dir('replica');

my $db = "dbs:\n  - path: %%TESTDIR%%/one/db.sqlite3\n";
my $replica = "$db    replica:\n      path: %%TESTDIR%%/replica/x\n";

# name, the file, what is said; the line that is to blame ends with "#!"

$ENV{DOLLAR} = '$';

my @cases = (

# keys

(map {
    my ($key, @say) = @$_;
    [ "key $key", "$key: x #!\n", @say ];
} [ 'sockets', qr/unknown key "sockets"/ ],
  [ 'l0_retention', qr/unknown key.*did you mean "l0-retention"/ ],
  [ 'Snapshot', qr/did you mean "snapshot"/ ],
  [ 'path', qr/unknown key "path"/ ],
  [ 'socket', qr/litestream_state_path/ ],
  [ 'exec', qr/key "exec" cannot be here/ ],
  [ 'addr', qr/litestream_metrics_addr/ ],
  [ 'mcp-addr', qr/mcp-addr/ ],
  [ 'shutdown-sync-timeout', qr/litestream_shutdown_timeout/ ],
  [ 'age', qr/does not encrypt/ ]),

[ 'key of a replica in a database', "$db    sync-interval: 1s #!\n",
  qr/unknown key "sync-interval" in "dbs", it stands in "replica"/ ],
[ 'key of a database in a replica', "$replica      monitor-interval: 1s #!\n",
  qr/unknown key "monitor-interval" in "replica", it stands in "dbs"/ ],
[ 'a key of several places', "$db    interval: 1h #!\n",
  qr/it stands in "snapshot" or in "levels" or in "validation"/ ],
[ 'a key of the top elsewhere', "$db    l0-retention: 1h #!\n",
  qr/unknown key "l0-retention" in "dbs", it stands at the top of the file/ ],
[ 'unknown key in snapshot', "snapshot:\n  interval: 1h\n  keep: 1h #!\n",
  qr/unknown key "keep" in "snapshot", Litestream 0\.5\.17 has none/ ],

# slips

(map {
    my ($key, $say) = @$_;
    [ "slip $key", "$replica      $key: v3rysecret #!\n",
        qr/unknown key "$key", $say/ ];
} [ 'account_name', qr/did you mean "account-name"\?/ ],
  [ 'key_path', qr/did you mean "key-path"\?/ ],
  [ 'acess-key-id', qr/did you mean "access-key-id"\?/ ],
  [ 'secret-acces-keys', qr/did you mean "secret-access-key"\?/ ],
  [ 'secret_key', qr/did you mean "secret-access-key"\?/ ],
  [ 'session-token', qr/set AWS_SESSION_TOKEN/ ],
  [ 'known_hosts', qr/did you mean "host-key"\?/ ]),
[ 'slip database', "database:\n  - path: /x #!\n", qr/did you mean "dbs"\?/ ],
[ 'slip replica in the plural, without a list', "$db    replicas: #!\n"
    . "      path: /x\n", qr/"replicas" must be a list/ ],
[ 'slip gcs', "$db    replica: #!\n      type: gcs\n      bucket: b\n"
    . "      path: p\n", qr/unknown replica scheme "gcs", did you mean "gs"\?/ ],
[ 'slip of a type', "$db    replica:\n      type: sftp\n      host: h\n"
    . "      path: /p\n      user: me\n      username: me #!\n",
  qr/"username" is not of replica type "sftp", did you mean "user"\?/ ],
[ 'slip of another type', "$db    replica:\n      type: webdav\n"
    . "      webdav-url: http://h/d\n      path: p\n"
    . "      password: v3rysecret #!\n",
  qr/"password" is not of .* "webdav", did you mean "webdav-password"\?/ ],
[ 'type of the log', "logging:\n  type: text #!\n", qr/"type"/ ],
[ 'stderr of the log', "logging: {stderr: true} #!\n", qr/litestream_log/ ],
[ 'level of the log', "logging: {level: loud} #!\n", qr/"level" must be/ ],

(map { [ "$_ of a database", "$db    $_: x #!\n", qr/"$_" cannot be here/ ] }
    qw/ meta-dir meta-path restore-if-db-not-exists /),

# directories

[ 'dir and path', "dbs:\n  - dir: %%TESTDIR%%\n    path: /x #!\n",
  qr/both "path" and "dir"/ ],
(map { [ "$_ without dir", "$db    $_: true #!\n", qr/"$_" without "dir"/ ] }
    qw/ pattern recursive watch /),
[ 'dir without a pattern', "dbs:\n  - dir: %%TESTDIR%% #!\n",
  qr/has no "pattern"/ ],
(map { [ "pattern $_", "dbs:\n  - dir: %%TESTDIR%%\n    pattern: '$_' #!\n",
    qr/in pattern .*there is "\*" only/ ] } '?.db', '[ab].db', 'a/*.db'),
[ 'pattern of one file', "dbs:\n  - dir: %%TESTDIR%%\n"
    . "    pattern: a.db #!\n", qr/means one file/ ],
[ 'dir with a pattern in it', "dbs:\n  - dir: %%TESTDIR%%/* #!\n"
    . "    pattern: '*.db'\n", qr/must be that of the databases/ ],
[ 'path with a pattern in it', "dbs:\n  - path: %%TESTDIR%%/*.db #!\n",
  qr/say "dir" and "pattern"/ ],
[ 'dir without a replica', "dbs:\n  - dir: %%TESTDIR%%/one #!\n"
    . "    pattern: '*.db'\n", qr/no replica/ ],
[ 'dir in a replica with "$"', "dbs:\n  - dir: %%TESTDIR%%/one\n"
    . "    pattern: '*.db'\n    replica: #!\n      path: '/x/\${DOLLAR}y'\n",
  qr/"\$" in the replica/ ],

# values

(map { [ "duration $_", "l0-retention: $_ #!\n",
    qr/"l0-retention" must be a duration/ ] }
    '10', 'abc', '1d', '-1h', '1h 30m', '1hh', '.s', '1e9h', '9999999h', '""',
    'h'),
[ 'duration of 0', "snapshot: {interval: 0s} #!\n", qr/must not be 0/ ],
[ 'a short heartbeat', "heartbeat-interval: 59s #!\n", qr/1m or more/ ],
(map { [ "boolean $_", "verify-compaction: $_ #!\n", qr/true or false/ ] }
    '"true"', '1', 'maybe'),
(map { [ "number $_", "$db    truncate-page-n: $_ #!\n", qr/a number/ ] }
    '"5"', 'x', '1.5', '--5', '12345678901234567890'),
[ 'a mapping for a value', "l0-retention:\n  x: 1 #!\n", qr/one value/ ],
[ 'a value for a mapping', "snapshot: 1h #!\n", qr/must be a mapping/ ],
[ 'a value for a list', "dbs: x #!\n", qr/must be a list/ ],
[ 'a list of values', "dbs:\n  - x #!\n", qr/must be a mapping/ ],
[ 'a list', "- x #!\n", qr/must be a mapping/ ],
[ 'a text', "x #!\n", qr/must be a mapping/ ],

# YAML

[ 'not YAML', "snapshot: [1h\n\nx: #!\n", qr/invalid/ ],
[ 'a tab', "snapshot:\n\tinterval: 1h #!\n", qr/invalid/ ],
[ 'an anchor', "snapshot: &a #!\n  interval: 1h\n", qr/anchors/ ],
[ 'an alias', "snapshot: *a #!\n", qr/anchors/ ],
[ 'a tag', "l0-retention: !!str 1h #!\n", qr/tags/ ],
[ 'two documents', "l0-retention: 1h\n--- #!\nx: y\n", qr/more than one/ ],
[ 'a key twice', "exec: x\nexec: y #!\n", qr/twice/ ],
[ 'a key that is a list', "[x]: y #!\n", qr/a key must be/ ],
[ 'nested deeply', 'levels: ' . '[' x 17 . "#!\n", qr/nested/ ],
[ 'not UTF-8', "l0-retention: \xff #!\n", qr/invalid/ ],
[ 'a NUL', "l0-retention: \"\\0\" #!\n", qr/NUL/ ],

# variables

[ 'a variable that is not set', "l0-retention: \${NGLS_NO} #!\n",
  qr/"\$\{NGLS_NO\}" in "l0-retention" is not set/ ],
(map { [ "variable $_", "l0-retention: $_ #!\n", qr/not of a variable/ ] }
    '$', '$$', '$1', '${}', '${A', '${A-b}', '1$'),

# databases

[ 'no path', "dbs:\n  - truncate-page-n: 5 #!\n", qr/no "path"/ ],
[ 'relative path', "dbs:\n  - path: db.sqlite3 #!\n", qr/absolute/ ],
[ 'no replica', "dbs:\n  - path: %%TESTDIR%%/one/db.sqlite3 #!\n",
  qr/no replica/ ],
[ 'a path twice', "$replica  - path: %%TESTDIR%%/one/../one/db.sqlite3 #!\n"
    . "    replica: {path: %%TESTDIR%%/replica/y}\n", qr/is duplicate/ ],
[ 'both forms of a replica', "$replica    replicas: #!\n      - path: /x\n",
  qr/both "replica" and "replicas"/ ],
[ 'two replicas', "$db    replicas:\n      - path: /x\n      - path: /y #!\n",
  qr/one replica only/ ],
[ 'URL and path', "$db    replica:\n      url: file:///x\n"
    . "      path: /y #!\n", qr/both "url" and "path"/ ],
[ 'a relative replica', "$db    replica:\n      path: x #!\n", qr/absolute/ ],
[ 'unknown type', "$db    replica:\n      type: ftp #!\n",
  qr/unknown replica scheme "ftp"/ ],
[ 'key of another type', "$replica      region: x #!\n",
  qr/"region" is not of replica type "file"/ ],
[ 'one replica for two', "$replica  - path: %%TESTDIR%%/two/db.sqlite3\n"
    . "    replica: #!\n      path: %%TESTDIR%%/replica/x\n",
  qr/replica.*duplicate/ ],
[ 'snapshots that differ', "$replica    snapshot: {interval: 1h}\n"
    . "  - path: %%TESTDIR%%/two/db.sqlite3\n"
    . "    snapshot: {interval: 2h} #!\n", qr/differs.*line 5/ ],
[ 'no alias', "dbs:\n  - path: %%TESTDIR%%/one/" . 'x' x 64 . " #!\n",
  qr/no alias/ ],

# s3

[ 's3 without a bucket', "$db    replica: #!\n      type: s3\n"
    . "      path: prod/one\n", qr/type "s3" has no "bucket"/ ],
[ 's3 without a path', "$db    replica: #!\n      type: s3\n"
    . "      bucket: b\n", qr/its path is empty/ ],
[ 'URL and bucket', "$db    replica:\n      url: s3://b/x\n"
    . "      bucket: b #!\n", qr/both "url" and "bucket"/ ],
[ 'credentials in a URL', "$db    replica: #!\n"
    . "      url: s3://me:v3rysecret\@b/x\n", qr/credentials do not belong/ ],
(map { my ($key, $say) = @$_;
    [ "s3 $key", "$db    replica:\n      url: s3://b/x\n      $key #!\n", $say ]
} [ 'endpoint: ftp://x', qr/"endpoint" of replica type "s3": it must be http/ ],
  [ 'concurrency: 5000', qr/"concurrency" .* from 1 to 1000/ ],
  [ 'force-path-style: "yes"', qr/true or false/ ],
  [ 'part-size: big', qr/"part-size" must be a size/ ],
  [ 'account-key: v3rysecret', qr/"account-key" is not of replica type "s3"/ ],
  [ 'secret-access-key: "v3ry\u0007secret"', qr/control characters/ ]),
[ 's3 in the URL and beside it', "$db    replica:\n"
    . "      url: s3://b/x?region=y\n      region: z #!\n",
  qr/"region" is said twice/ ],
[ 'one of two keys', "$db    replica: #!\n      url: s3://b/x\n"
    . "      secret-access-key: v3rysecret\n", qr/must be said together/ ],
[ 'default of all', "endpoint: 'http://me:v3rysecret\@x' #!\n$db    replica:\n"
    . "      url: s3://b/x\n", qr/credentials do not belong/ ],
[ 'one bucket for two', "bucket: b\n$db    replica: {type: s3, path: x}\n"
    . "  - path: %%TESTDIR%%/two/db.sqlite3\n    replica: #!\n"
    . "      url: s3://b/x/y\n", qr/inside replica "s3:\/\/b\/x"/ ],

# secrets are not said

[ 'a secret in the wrong place', "$db    secret-access-key: v3rysecret #!\n",
  qr/unknown key/ ],
[ 'a secret that is a list', "secret-access-key: [v3rysecret] #!\n",
  qr/one value/ ],

);

$t->plan(3 * @cases + 15);

for (@cases) {
    my ($name, $yml, @say) = @$_;

    my ($rc, $out) = test($yml);

    # the key of a mapping that goes on in the next line

    my $line = $t->line_of(qr/#!/, 'base.yml');

    is($rc, 1, "$name: refused");
    is(join(' ', grep { $out !~ /\[emerg\].*$_/ } @say), '',
        "$name: the reason") or diag($out);

    # libyaml has another line for some, not far from there

    my $near = join '|', $line - 1 .. $line + 1;

    ok($out =~ /\[emerg\].* in \Q$dir\E\/base\.yml:$near\b/
        && $out !~ /v3rysecret/, "$name: the place") or diag($out);
}

# the file itself

my $conf = $t->read_file('nginx.conf');

for ([ 'no-such-file', qr/open\(\) "$dir\/no-such-file" failed.*No such/ ],
    [ 'one', qr/"$dir\/one" is not a regular file/ ],
    [ 'base.yml unknown=drop', qr/invalid parameter "unknown=drop"/ ])
{
    my ($arg, $say) = @$_;

    $t->write_file('nginx.conf', $conf =~ s/base\.yml/$arg/r);

    my ($rc, $out) = $t->conf_test();

    is($rc, 1, "$arg: refused");
    like($out, qr/\[emerg\].*$say/, "$arg: the reason");
    like($out, qr/ in \S+nginx\.conf:\d+/, "$arg: the place");
}

$t->write_file('nginx.conf', $conf);
$t->write_file('base.yml', "l0-retention: 1h\n" . '#' x (5 * 1024 * 1024));

like(($t->conf_test)[1], qr/\[emerg\].*too large/, 'too large');

# a secret that everybody may read

my $secret = "secret-access-key: v3rysecret #!\n";
my (undef, $out) = test($secret, 0644);

like($out, qr/\[warn\] "secret-access-key" is a secret in a file .*0644.*:1$/m,
    'a file for everybody');
unlike($out, qr/v3rysecret/, 'a file for everybody: the secret');
unlike((test($secret, 0640))[1], qr/\[warn\]/, 'a file for some');

$ENV{V3RY} = 'v3rysecret';

for ('access-key-id: AKID', 'secret-access-key: ${V3RY}') {
    unlike((test("$_\n", 0644))[1], qr/\[warn\]/, "a file for everybody: $_");
}


sub test {
    my ($yml, $mode) = @_;

    $t->write_file_expand('base.yml', $yml);
    chmod $mode // 0600, "$dir/base.yml";
    $t->write_file_expand('nginx.conf', <<EOF);
%%TEST_GLOBALS%%
daemon off;
events { }
http {
    %%TEST_GLOBALS_HTTP%%
    litestream_base_config base.yml;
    server {
        listen 127.0.0.1:8080;
    }
}
EOF

    return $t->conf_test();
}
