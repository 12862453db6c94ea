#!/usr/bin/perl

# Types of replicas on servers: what a URL and its parameters become in
# litestream.yml, as the real Litestream accepts it, and what is refused, with
# file and line, a hint, and no secret.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/);

my $dir = $t->testdir;

$t->db($_) for qw/ app two /;
chmod 0755, $dir;

my $key = 'AAAAC3NzaC1lZDI1NTE5AAAAI' . 'A' x 43;
my $host = "\"host_key=ssh-ed25519 $key me\@h\"";

# a litestream_replica, and what the replica is in litestream.yml; secrets are
# "***" there, and the URL that people see comes first

my @good = (

# sftp

[ "sftp://me\@backup.example/srv/backups key_path=/etc/id $host",
  'sftp://me@backup.example/srv/backups/app', <<EOF ],
    type: "sftp"
    host: "backup.example:22"
    path: "/srv/backups/app"
    user: "me"
    key-path: "/etc/id"
    host-key: "ssh-ed25519 $key me\@h"
EOF

[ "sftp://me:hidd%65n\@H:2222/\$alias/%20x concurrent_writes=off $host",
  'sftp://me@H:2222/app/%20x', <<EOF ],
    type: "sftp"
    host: "h:2222"
    path: "/app/ x"
    user: "me"
    password: "***"
    concurrent-writes: false
    host-key: "ssh-ed25519 $key me\@h"
EOF

[ "sftp://[::1]/~/b user=me password=hidden $host", 'sftp://[::1]/~/b/app',
  <<EOF ],
    type: "sftp"
    host: "[::1]:22"
    path: "b/app"
    user: "me"
    password: "***"
    host-key: "ssh-ed25519 $key me\@h"
EOF

# webdav

[ 'webdav://dav.example/backups webdav_username=me webdav_password=hidden',
  'webdav://dav.example/backups/app', <<'EOF' ],
    type: "webdav"
    path: "/backups/app"
    webdav-username: "me"
    webdav-password: "***"
    webdav-url: "http://dav.example:80"
EOF

[ 'webdavs://me:hidden@dav.example:8443/a', 'webdavs://me@dav.example:8443/a/app',
  <<'EOF' ],
    type: "webdav"
    path: "/a/app"
    webdav-username: "me"
    webdav-password: "***"
    webdav-url: "https://dav.example:8443"
EOF

[ 'webdavs://c.example/remote.php/dav/me/b '
    . 'webdav_url=https://c.example:443/remote.php/dav/me/',
  'webdavs://c.example/remote.php/dav/me/b/app', <<'EOF' ],
    type: "webdav"
    path: "/b/app"
    webdav-url: "https://c.example:443/remote.php/dav/me"
EOF

[ 'webdav://h/a/$alias webdav_url=http://h/a/app', 'webdav://h/a/app', <<'EOF' ],
    type: "webdav"
    path: "/"
    webdav-url: "http://h/a/app"
EOF

# nats

[ 'nats://nats.example username=me password=hidden', 'nats://nats.example/app',
  <<'EOF' ],
    type: "nats"
    url: "nats://nats.example:4222/app"
    username: "me"
    password: "***"
EOF

[ 'nats://me:hidden@a,b:4333/backup-$alias', 'nats://me@a,b:4333/backup-app',
  <<'EOF' ],
    type: "nats"
    url: "nats://a:4222,b:4333/backup-app"
    username: "me"
    password: "***"
EOF

[ 'nats://hiddentoken@h', 'nats://h/app', <<'EOF' ],
    type: "nats"
    url: "nats://h:4222/app"
    token: "***"
EOF

[ 'nats://h creds=/etc/n.creds tls=on root_cas=/a.pem,/b.pem '
    . 'client_cert=/c client_key=/k max_reconnects=-1 reconnect_wait=2s '
    . 'timeout=1m', 'nats://h/app', <<'EOF' ],
    type: "nats"
    url: "nats://h:4222/app"
    creds: "/etc/n.creds"
    tls: true
    root-cas:
    - "/a.pem"
    - "/b.pem"
    client-cert: "/c"
    client-key: "/k"
    max-reconnects: -1
    reconnect-wait: "2000ms"
    timeout: "60000ms"
EOF

[ 'nats://h jwt=hiddenjwt seed=hiddenseed', 'nats://h/app', <<'EOF' ],
    type: "nats"
    url: "nats://h:4222/app"
    jwt: "***"
    seed: "***"
EOF

# abs

[ 'abs://acct@backups/prod account_key=hidden==', 'abs://acct@backups/prod/app',
  <<'EOF' ],
    type: "abs"
    account-name: "acct"
    bucket: "backups"
    path: "prod/app"
    account-key: "***"
EOF

[ 'abs://backups account_name=acct sas_token=sv=1&sig=hidden '
    . 'endpoint=http://127.0.0.1:10000/acct', 'abs://backups/app', <<'EOF' ],
    type: "abs"
    bucket: "backups"
    path: "app"
    account-name: "acct"
    sas-token: "***"
    endpoint: "http://127.0.0.1:10000/acct"
EOF

# gs

[ 'gs://backups/prod', 'gs://backups/prod/app', <<'EOF' ],
    type: "gs"
    bucket: "backups"
    path: "prod/app"
EOF

# oss

[ 'oss://backups/prod region=cn-shanghai access_key_id=hiddenid '
    . 'secret_access_key=hidden part_size=8m concurrency=3',
  'oss://backups/prod/app', <<'EOF' ],
    type: "oss"
    bucket: "backups"
    path: "prod/app"
    region: "cn-shanghai"
    access-key-id: "***"
    secret-access-key: "***"
    part-size: "8388608"
    concurrency: 3
EOF

[ 'oss://b.oss-cn-beijing-internal.aliyuncs.com/p',
  'oss://b.oss-cn-beijing-internal.aliyuncs.com/p/app', <<'EOF' ],
    type: "oss"
    region: "cn-beijing"
    bucket: "b"
    path: "p/app"
EOF

);

# the same in a litestream.yml; the replica of a database

my @base = (

[ "type: sftp\nhost: h:2222\nuser: me\npassword: hidden\npath: /a b/%c",
  <<'EOF' ],
    type: "sftp"
    host: "h:2222"
    path: "/a b/%c"
    user: "me"
    password: "***"
EOF

[ "type: sftp\nhost: '::1'\nuser: me\nkey-path: /id\npath: rel/x", <<'EOF' ],
    type: "sftp"
    host: "[::1]:22"
    path: "rel/x"
    user: "me"
    key-path: "/id"
EOF

[ "url: sftp://me:hidden\@h/x\nconcurrent-writes: false", <<'EOF' ],
    type: "sftp"
    host: "h:22"
    path: "/x"
    user: "me"
    password: "***"
    concurrent-writes: false
EOF

[ "type: webdav\nwebdav-url: https://h:8443/dav/\nwebdav-username: me\n"
    . "webdav-password: hidden\npath: app", <<'EOF' ],
    type: "webdav"
    path: "/app"
    webdav-url: "https://h:8443/dav"
    webdav-username: "me"
    webdav-password: "***"
EOF

[ "type: webdav\nwebdav-url: http://h/dav/app", <<'EOF' ],
    type: "webdav"
    path: "/"
    webdav-url: "http://h/dav/app"
EOF

[ "url: webdavs://me:hidden\@h/dav/app", <<'EOF' ],
    type: "webdav"
    path: "/dav/app"
    webdav-username: "me"
    webdav-password: "***"
    webdav-url: "https://h:443"
EOF

[ "type: nats\nurl: nats://h:4222\nbucket: b\nusername: me\n"
    . "password: hidden\nreconnect-wait: 1.5s\nroot-cas: [/a]", <<'EOF' ],
    type: "nats"
    url: "nats://h:4222/b"
    username: "me"
    password: "***"
    reconnect-wait: "1500ms"
    root-cas:
    - /a
EOF

[ "type: gs\nbucket: b\npath: a%20b", <<'EOF' ],
    type: "gs"
    bucket: "b"
    path: "a%20b"
EOF

[ "type: abs\nbucket: b\npath: /x/\naccount-name: acct\naccount-key: hidden",
  <<'EOF' ],
    type: "abs"
    bucket: "b"
    path: "x"
    account-name: "acct"
    account-key: "***"
EOF

[ "url: oss://b/x\naccess-key-id: hiddenid\nsecret-access-key: hidden\n"
    . "region: r", <<'EOF' ],
    type: "oss"
    bucket: "b"
    path: "x"
    access-key-id: "***"
    secret-access-key: "***"
    region: "r"
EOF

);

# what is refused; the line to blame ends with "#!"

my $u = 'sftp://u@h';
my $db = "litestream_db app $dir/app/db.sqlite3";
my $two = "litestream_db two $dir/two/db.sqlite3";

my @bad = (

(map { [ $_->[0], "$db;\nlitestream_replica $_->[0]; #!", $_->[1] ] }

# URLs

[ 'sftp://h/x', qr/has no user, say sftp:\/\/USER\@HOST\/PATH/ ],
[ 'sftp:///x', qr/its host is missing/ ],
[ 'sftp:u:hidden@h', qr/"\*\*\*\@h\/app", it must begin with SCHEME:\/\// ],
[ 'sftp://u:hid/den@h/x', qr/"sftp:\/\/\*\*\*\@h\/x\/app".*written as %2F/ ],
[ 'sftp://u:hidden%@h/x', qr/written as %25/ ],
[ 'sftp://u:hidden$x@h/x', qr/written as %24/ ],
[ 'sftp://u:hidden@h/$x', qr/variable "\$x" in replica "sftp:\/\/\*\*\*\@h/ ],
[ 'sftp://u:hidden@a,b/x', qr/it has several hosts/ ],
[ 'sftp://u:hidden@h/a//b', qr/empty part/ ],
[ 'sftp://u@h/../x', qr/"\.\."/ ],
[ 'sftp://:hidden@h/x', qr/the user before "\@" is missing/ ],
[ 'sftp://u@h:0/x', qr/its port is not a number/ ],
[ 'sftp://u@h/x?password=hidden', qr/it has a query string/ ],
[ 'webdav:///x', qr/its host is missing/ ],
[ 'webdavs://u:hidden@h/a/./b', qr/"\."/ ],
[ 'nats:///b', qr/its host is missing/ ],
[ 'nats://h/a', qr/bucket of its own, .* nats:\/\/HOST\/NAME-\$alias/ ],
[ 'nats://h/a.$alias', qr/letters, digits, "-" and "_"/ ],
[ 'gs://u:hidden@b/x', qr/GOOGLE_APPLICATION_CREDENTIALS/ ],
[ 'gs://b:80/x', qr/must be gs:\/\/BUCKET\/PATH/ ],
[ 'gs://b/x?endpoint=x', qr/query string/ ],
[ 'abs://a:hidden@b/x', qr/say "account_key"/ ],
[ 'abs://@b/x', qr/the account before "\@" is missing/ ],
[ 'abs://b/x', qr/has no account/ ],
[ 'oss://a:hidden@b/x', qr/say "access_key_id"/ ],

# slips

(map { [ "$_->[0]://b/x", qr/did you mean "$_->[1]"/ ] }
    [ 'gcs', 'gs' ], [ 'azblob', 'abs' ], [ 'ssh', 'sftp' ],
    [ 'davs', 'webdavs' ], [ 'tls', 'nats' ]),
[ "$u/x key-path=/id", qr/did you mean "key_path"\?/ ],
[ "$u/x keypath=/id", qr/did you mean "key_path"\?/ ],
[ "$u/x username=u", qr/did you mean "user"\?/ ],
[ "$u/x identity_file=/id", qr/did you mean "key_path"\?/ ],
[ "$u/x passphrase=hidden", qr/cannot use a key that has one/ ],
[ "$u/x host=h", qr/"host" .*the URL says it/ ],
[ "$u/x path=/x", qr/"path" .*the URL says it/ ],
[ "$u/x region=r", qr/there are: user, password, key_path, host_key, con/ ],
[ 'webdav://h/x username=u', qr/did you mean "webdav_username"\?/ ],
[ 'webdav://h/x skip_verify=on', qr/SSL_CERT_FILE/ ],
[ 'nats://h user=u', qr/did you mean "username"\?/ ],
[ 'abs://a@b/x account-name=x', qr/did you mean "account_name"\?/ ],
[ 'abs://a@b/x account=x', qr/did you mean "account_name"\?/ ],
[ 'gs://b/x credentials=/x', qr/GOOGLE_APPLICATION_CREDENTIALS/ ],
[ 'gs://b/x endpoint=http://h', qr/STORAGE_EMULATOR_HOST/ ],
[ 'gs://b/x region=x', qr/"region" of replica type "gs", it has none/ ],
[ 'oss://b/x skip_verify=on', qr/there are: endpoint, region, access/ ],
[ "file://$dir/r region=x", qr/replica type "file", it has none/ ],

# values

[ "$u/x key_path=id", qr/it must be an absolute path/ ],
[ "$u/x concurrent_writes=2", qr/"on" or "off"/ ],
[ "$u/x host_key=$key", qr/"TYPE KEY"/ ],
[ "$u/x \"host_key=h ssh-ed25519 $key\"", qr/known_hosts/ ],
[ "$u/x \"host_key=ssh-rsa $key\"", qr/do not agree/ ],
[ "$u/x password=", qr/it is empty/ ],
[ 'nats://h timeout=soon', qr/a time, such as 2s/ ],
[ 'nats://h max_reconnects=x', qr/must be a number/ ],
[ 'nats://h root_cas=a.pem', qr/absolute paths/ ],
[ 'nats://h root_cas=/a.pem,', qr/absolute paths/ ],
[ 'abs://a@b/x endpoint=ftp://x', qr/http:/ ],
[ 'oss://b/x concurrency=0', qr/from 1 to 1000/ ],
[ 'webdav://h/x webdav_url=h/x', qr/"webdav_url" .*SCHEME/ ],
[ 'webdav://h/x webdav_url=ftp://h', qr/it must be http:/ ],
[ 'webdav://h/x webdav_url=http://u:hidden@h', qr/"webdav_username" and/ ],
[ 'webdav://h/x webdav_url=http://g', qr/of another server/ ],
[ 'webdav://h/x webdav_url=https://h', qr/of another server/ ],
[ 'webdav://h/x webdav_url=http://h:81', qr/of another server/ ],
[ 'webdav://h/x webdav_url=http://h/y', qr/does not go on from its path/ ],
[ 'webdav://h/xy webdav_url=http://h/x', qr/does not go on from its path/ ],

# what belongs together

[ 'webdav://h/x webdav_password=hidden', qr/not "webdav_username", say both/ ],
[ 'nats://h username=u', qr/has "username", but not "password"/ ],
[ 'nats://h password=hidden', qr/has "password", but not "username"/ ],
[ 'nats://h jwt=hidden', qr/has "jwt", but not "seed"/ ],
[ 'nats://h client_cert=/c', qr/has "client_cert", but not "client_key"/ ],
[ 'nats://h token=hidden creds=/c', qr/has 2 kinds of credentials/ ],
[ 'nats://h nkey=hidden', qr/cannot sign with it, say "creds"/ ],
[ 'abs://b/x account_key=hidden endpoint=http://h', qr/has no account/ ],
[ 'abs://a@b/x account_key=hidden sas_token=hidden', qr/has both/ ],
[ 'oss://b/x access_key_id=a', qr/must be said together/ ],
[ 'sftp://u:hidden@h/x password=hidden', qr/"password" is said twice/ ],
[ 'nats://u:hidden@h username=v', qr/"username" is said twice/ ],

), # map

# one replica for two

(map {
    my ($one, $other, $say) = @$_;
    [ "$one and $other", "$db replica=$one;\n$two replica=$other; #!", $say ]
}
[ "$u/x", 'sftp://v@H:22/x/', qr/is duplicate/ ],
[ "$u/x", "$u/x/y", qr/is inside replica/ ],
[ "$u/~/x", "$u/~/x/y", qr/is inside replica/ ],
[ 'webdav://h/x', 'webdav://u@h:80/x', qr/is duplicate/ ],
[ 'webdavs://h/x/y', 'webdavs://h:443/x', qr/is inside replica/ ],
[ 'nats://h/b', 'nats://H:4222/b', qr/is duplicate/ ],
[ 'gs://b/x', 'gs://b/x/y', qr/is inside replica/ ],
[ 'abs://a@b/x', 'abs://a@b/x', qr/is duplicate/ ],
[ 'oss://b/x', 'oss://b.oss-r.aliyuncs.com/x', qr/is duplicate/ ]),

[ 'twice', "$db replica=$u/x replica=sftp://u:hidden\@h; #!",
  qr/parameter "replica" is duplicate/ ],

);

my @apart = (
    [ "$u/~/x", 'sftp://v@h/~/x' ], [ "$u/x", "$u:23/x" ],
    [ "$u/x", 'webdav://h/x' ], [ 'nats://h/a', 'nats://h/b' ],
    [ "$u/x", "$u/xy" ], [ 'abs://a@b/x', 'abs://c@b/x' ],
);

$t->plan(4 * @good + 3 * @base + 3 * @bad + @apart + 34);

for (@good) {
    my ($said, $url, $want) = @$_;

    conf("$db;\nlitestream_replica $said;");

    my ($rc, $out, $yml) = dump_of();

    is($rc, 0, $said) or diag($out);
    is(replica_of($yml), $want, "$said: its keys");
    is(accepted($yml), '', "$said: Litestream accepts it");

    # the URL that people see: the same database a second time says it

    conf("$db;\nlitestream_replica $said;\n"
        . ($said =~ /^\S*\$alias/ ? "$two replica=" . first($said) . ';'
            : "$two replica=" . first($said) . '/app;'), 0700);

    (undef, $out) = $t->conf_test();

    like($out, qr/"\Q$url\E"/, "$said: for people");
}

for (@base) {
    my ($replica, $want) = @$_;

    $replica =~ s/^/      /mg;

    $t->write_file('base.yml',
        "dbs:\n- path: $dir/app/db.sqlite3\n  replica:\n$replica\n");
    chmod 0600, "$dir/base.yml";
    conf("litestream_base_config base.yml;");

    my ($rc, $out, $yml) = dump_of();

    is($rc, 0, "base: $replica") or diag($out);
    is(replica_of($yml), $want, 'base: its keys');
    is(accepted($yml), '', 'base: Litestream accepts it');
}

for (@bad) {
    my ($name, $conf, $re) = @$_;

    conf($conf);

    my $line = $t->line_of(qr/#!/);
    my ($rc, $err) = $t->conf_test();

    isnt($rc, 0, "$name: refused");
    like($err, qr/\[emerg\] .*$re.* in \Q$dir\E\/nginx\.conf:$line$/m,
        "$name: its message");
    unlike($err, qr/hid\/?den/, "$name: no secret");
}

for (@apart) {
    conf("$db replica=$_->[0];\n$two replica=$_->[1];");
    my ($rc, $err) = $t->conf_test();
    is($rc, 0, "$_->[0] and $_->[1] are two places") or diag($err);
}

# a litestream.yml that is refused

for ([ "type: sftp\n#!\nuser: u\npath: /x", qr/"sftp" has no "host"/ ],
    [ "type: sftp\nhost: u\@h\npath: /x", qr/"host" must be HOST/ ],
    [ "type: webdav\npath: /x", qr/"webdav" has no "webdav-url"/ ],
    [ "type: webdav\nwebdav-url: h\npath: /x", qr/invalid "webdav-url": / ],
    [ "type: nats\nbucket: b", qr/"nats" has no "url"/ ],
    [ "type: gs\npath: b/x", qr/"gs" has no "bucket"/ ],
    [ "type: gcs\nbucket: b", qr/did you mean "gs"/ ],
    [ "url: sftp://u\@h/x\nhost: h", qr/both "url" and "host"/ ],
    [ "url: nats://h/b\nnkey: hidden", qr/cannot sign with it/ ],
    [ "url: nats://h/b\nbucket: c", qr/both "url" and "bucket"/ ],
    [ "url: sftp://u\@h/x\nkey_path: /x", qr/did you mean "key-path"/ ],
    [ "url: sftp://u\@h/x\nkey-path: ~/id", qr/an absolute path/ ],
    [ "url: abs://b/x\naccount_name: x", qr/did you mean "account-name"/ ])
{
    my ($replica, $re) = @$_;

    $replica =~ s/^/      /mg;

    $t->write_file('base.yml',
        "dbs:\n- path: $dir/app/db.sqlite3\n  replica:\n$replica\n");
    chmod 0600, "$dir/base.yml";
    conf("litestream_base_config base.yml;");

    my ($rc, $err) = $t->conf_test();

    ok($rc && $err =~ m!\[emerg\] .*$re.* in \Q$dir\E/base\.yml:\d+$!m
        && $err !~ /hidden/, "base: $replica: refused") or diag($err);
}

# what a variable holds is no part of a URL before "@"

$ENV{NGLS_PW} = 'hi/d@d:e%41n#?';

conf("$db;\nlitestream_replica sftp://u:\${NGLS_PW}\@h/x $host;", 0644);

my ($rc, $out, $yml) = dump_of();

is($rc, 0, 'a password by a variable') or diag($out);
like($yml, qr/host: "h:22".*password: "\*\*\*"/s, 'what it is not');
unlike($out, qr/\[warn\]/, 'no literal secret');

$t->run();

my ($file) = glob $t->state_path . '/*-sftp-*/jobs.yml';

like($t->read_file($file), qr/password: "\Q$ENV{NGLS_PW}\E"/, 'what it is');
$t->stop();

# who may read it, and who may answer

for ([ 'sftp://u:hidden@h/x', qr/URL of the replica has a secret/ ],
    [ 'sftp://u@h/x password=hidden', qr/"password" is a secret/ ],
    [ 'webdav://u:hidden@h/x', qr/URL of the replica has a secret/ ],
    [ 'nats://hidden@h', qr/URL of the replica has a secret/ ],
    [ 'nats://h token=hidden', qr/"token" is a secret/ ],
    [ 'abs://a@b/x account_key=hidden', qr/"account_key" is a secret/ ],
    [ 'abs://a@b/x sas_token=hidden', qr/"sas_token" is a secret/ ])
{
    my ($said, $re) = @$_;

    conf("$db;\nlitestream_replica $said; #!", 0644);

    my $line = $t->line_of(qr/#!/);
    my $err = ($t->conf_test)[1];

    ok($err =~ /\[warn\] .*$re.*everybody.*0644.* in \S+:$line$/m
        && $err !~ /hidden/, "$said: warned") or diag($err);
    chmod 0640, "$dir/nginx.conf";
    unlike(($t->conf_test)[1], qr/everybody/, "$said: a private file");
}

$t->write_file('base.yml', "dbs:\n- path: $dir/app/db.sqlite3\n  replica:\n"
    . "      url: sftp://u:hidden\@h/x\n");
conf("litestream_base_config base.yml;");

chmod 0644, "$dir/base.yml";
like(($t->conf_test)[1], qr/\[warn\] "url" is a secret in .*base\.yml:4$/m,
    'a URL in a litestream.yml');
chmod 0640, "$dir/base.yml";
unlike(($t->conf_test)[1], qr/"url" is a secret/, 'the same, private');

conf("$db;\n$two;\nlitestream_replica sftp://u\@h/x key_path=/id; #!");

my @warned = grep { /\[warn\]/ } split /\n/, ($t->conf_test)[1];

ok(@warned == 1 && $warned[0] =~ /not verified.*"host_key=TYPE KEY"/,
    'a server that is not verified');


sub conf {
    my ($http, $mode) = @_;

    $t->write_file_expand('nginx.conf', <<EOF);
%%TEST_GLOBALS%%
daemon off;
events { }
http {
    %%TEST_GLOBALS_HTTP%%
$http
    server {
        listen 127.0.0.1:8080;
    }
}
EOF
    chmod $mode // 0640, "$dir/nginx.conf";
}


# (exit code, all of it, the generated file); nginx.conf itself is in it, too

sub dump_of {
    my ($rc, $out) = $t->nginx('-T');

    my (undef, $yml) = split m!^# configuration file \S+/litestream\.yml:\n!m,
        $out;

    return ($rc, $out, $yml // '');
}


sub replica_of {
    my ($yml) = @_;
    return $yml =~ /^  replica:\n((?:    .*\n)+?)    sync-interval: 1s\n(.*)/ms
        ? $1 . join '', grep { /^    / } split /^/, $2 =~ s/\n#.*//sr : $yml;
}


sub accepted {
    my ($yml) = @_;

    $t->write_file('generated.yml', $yml);

    my ($rc, $said, $err) = $t->command($t->litestream_bin, 'databases',
        '-no-expand-env', '-config', "$dir/generated.yml");

    return $rc || $said !~ /db\.sqlite3/ ? "$said$err" : '';
}


sub first { return (split ' ', $_[0])[0] =~ s!/$!!r =~ s!\$alias!app!r }
