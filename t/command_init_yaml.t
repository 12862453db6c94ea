#!/usr/bin/perl

# nginx-litestream init: a litestream.yml becomes directives, with which
# Litestream runs as with that file, while there are directives for it, or
# stays underneath; secrets are never printed.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::CLI;
use Test::Litestream::Init qw/ accepted databases generated /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(61);

my $dir = $t->testdir;
my $app = $t->db('app', rows => 1);
my $web = $t->db('web', rows => 1);
my ($rc, $out, $err);

$t->db_dir('later');

# directives for all of it

yaml(<<EOF);
addr: 127.0.0.1:9090
snapshot:
  interval: 90m
  retention: 72h
shutdown-sync-timeout: 45s
exec: gunicorn app
socket:
  enabled: true
logging:
  level: INFO
  type: json
dbs:
  - path: $dir/app/db.sqlite3
    monitor-interval: 5s
    checkpoint-interval: 1m30s
    busy-timeout: 1500ms
    min-checkpoint-page-count: 500
    restore-if-db-not-exists: true
    replica:
      path: $dir/backup/one
      sync-interval: 5s
  - path: web/db.sqlite3
    replicas:
      - url: file://$dir/backup/two
  - path: $dir/later/db.sqlite3
    replica:
      type: file
      path: backup/three
  - path: $dir/no/db.sqlite3
    replica:
      path: $dir/backup/four
EOF

($rc, $out, $err) = init();

is("$rc$err", '0', 'all of it: exit code');
is(databases($out), "db $dir/app/db.sqlite3, web-db $dir/web/db.sqlite3, "
    . "later-db $dir/later/db.sqlite3", 'all of it: databases');
like($out, qr/^    # left out: its directory is missing\n    # litestream_db /m,
    'all of it: one that nginx would refuse');
like($out, qr/^# exec is left out: nginx does not start it/m, 'exec');
like($out, qr/^# socket is left out: /m, 'socket');
unlike($out, qr/base_config|env_file|left out: nginx reads.*\n.*level/,
    'all of it: nothing else is needed');
is(accepted($t, $out), 'ok', 'all of it: nginx accepts it');

my $made = generated($t);

for (['monitor-interval: 5s', 1], ['sync-interval: 5s', 1],
     ['checkpoint-interval: 90s', 1], ['busy-timeout: 1500ms', 1],
     ['min-checkpoint-page-count: 500', 1], ['interval: 5400s', 1],
     ['retention: 259200s', 1], ['addr: "127.0.0.1:9090"', 1],
     ["path: \"$dir/backup/one\"", 1], ["path: \"$dir/backup/two\"", 1],
     ["path: \"$dir/backup/three\"", 1])
{
    my ($line, $n) = @$_;
    is(scalar(() = $made =~ /^[ -]*\Q$line\E$/mg), $n, "Litestream: $line");
}

like($out, qr/^    litestream_shutdown_timeout +45s;$/m, 'the end');

# S3, a key of all, and a password

my $secret = 'pa"ss\\w0rd`x';

yaml(<<EOF);
access-key-id: AKIAEXAMPLE
secret-access-key: '$secret'
region: eu-west-1
dbs:
  - path: $dir/app/db.sqlite3
    replica:
      type: s3
      bucket: backups
      path: /prod/app
      endpoint: http://127.0.0.1:1
  - path: $dir/web/db.sqlite3
    replica:
      url: sftp://me:p%40ss%21\@127.0.0.1:1/srv/backup
EOF

($rc, $out, $err) = init();

is($rc, 0, 'secrets: exit code');
unlike("$out$err", qr/\Q$secret\E|AKIA|p%40ss|p\@ss/, 'secrets: not printed');
is($err, 'nginx-litestream: secrets are not printed: say -env '
    . '/etc/nginx/litestream.env for a file with them, or make it, of mode '
    . '0600, with LITESTREAM_ACCESS_KEY_ID=..., '
    . "LITESTREAM_SECRET_ACCESS_KEY=..., PASSWORD_2_DB_SQLITE3=...\n",
    'secrets: what is to be done');
like($out, qr!^    litestream_env_file +/etc/nginx/litestream\.env;$!m,
    'secrets: where they are looked for');
like($out, qr/^    litestream_snapshot +retention=7d;$/m, 'retention');

($rc, $out, $err) = init('-env', "$dir/secrets.env");

is("$rc$err", '0', '-env: exit code');
is(sprintf('%o', (stat "$dir/secrets.env")[2] & 07777), '600', '-env: mode');
unlike($out, qr/\Q$secret\E|AKIA|p%40ss|p\@ss/, '-env: not printed');
is(accepted($t, $out), 'ok', '-env: nginx accepts it');

# Litestream gets what it got before

$t->write_file('nginx.conf', "daemon off;\npid $dir/nginx.pid;\n"
    . $t->read_file('init.conf')
        =~ s!^http \{!$&\n    litestream_state_path $dir/s;\n!mr
        =~ s!^litestream_state_path .*\n!!mr);
$t->run(env => { PATH => $t->litestream =~ s!/[^/]+$!!r . ":$ENV{PATH}" });
$made = join '', map { $t->read_file($_) } glob "$dir/s/*/jobs.yml";

my ($env) = map { $t->read_file($_) } glob "$dir/s/*-s3-*/jobs.env";

ok($t->quit(), 'quit');

like($env, qr/\0LITESTREAM_ACCESS_KEY_ID=AKIAEXAMPLE\0/, '-env: the key');
like($env, qr/\0LITESTREAM_SECRET_ACCESS_KEY=\Q$secret\E\0/,
    '-env: the secret');
like($made, qr/password: "p\@ss!"/, '-env: the password');
like($made, qr/bucket: "backups"\n *path: "prod\/app"/, '-env: the bucket');
like($made, qr/region: "eu-west-1"/, '-env: the region of all');
like($made, qr!endpoint: "http://127\.0\.0\.1:1"!, '-env: the endpoint');

($rc, $out, $err) = init('-env', "$dir/secrets.env");

is("$rc$out", '1', '-env that is there: exit code');
is($err, "nginx-litestream: \"$dir/secrets.env\": File exists\n",
    '-env that is there');

# variables

yaml(<<'EOF' =~ s/DIR/$dir/gr);
access-key-id: $LITESTREAM_ACCESS_KEY_ID
secret-access-key: ${LITESTREAM_SECRET_ACCESS_KEY}
dbs:
  - path: ${BASE}/app/db.sqlite3
    replica:
      type: s3
      bucket: $BUCKET
      path: app
EOF

($rc, $out, $err) = init();

is("$rc$err", '0', 'variables: exit code');
is(databases($out), 'db ${BASE}/app/db.sqlite3', 'variables: the database');
like($out, qr!^ +replica=s3://\$\{BUCKET\}/app;$!m, 'variables: the replica');
like($out, qr/^# these are to be set .*: BASE\n?#? *BUCKET$/m,
    'variables: which');
is(accepted($t, $out, BASE => $dir, BUCKET => 'b'), 'ok',
    'variables: nginx accepts it');

# what has no directive stays underneath

my $rest = <<EOF;
levels:
  - interval: 1m
dbs:
  - path: $dir/app/db.sqlite3
    truncate-page-n: 1000
    replica:
      path: $dir/backup/one
EOF

yaml($rest);
($rc, $out, $err) = init();

is("$rc$err", '0', 'the rest: exit code');
like($out, qr!^    litestream_base_config +\Q$dir\E/litestream\.yml;$!m,
    'the rest: the file');
like($out, qr/^# levels has no directive: the file stays underneath$/m,
    'the rest: why');
unlike($out, qr/replica=|litestream_replica/, 'the rest: said once');
is(accepted($t, $out), 'ok', 'the rest: nginx accepts it');
like(generated($t), qr/truncate-page-n: 1000/, 'the rest: Litestream');

# beside what is nginx's

yaml("addr: 127.0.0.1:9090\nsocket:\n  enabled: true\n" . $rest);
($rc, $out, $err) = init();

is("$rc$out", '1', 'of both kinds: exit code');
is($err, "nginx-litestream: $dir/litestream.yml: levels has no directive, and "
    . 'other keys cannot stay in a litestream_base_config: say -base FILE for '
    . "a copy without these\n", 'of both kinds');

($rc, $out, $err) = init('-base', "$dir/rest.yml");

is("$rc$err", '0', '-base: exit code');
is(sprintf('%o', (stat "$dir/rest.yml")[2] & 07777), '600', '-base: mode');
unlike($t->read_file("$dir/rest.yml"), qr/addr|socket/, '-base: without these');
like($out, qr/^    litestream_metrics_addr +127\.0\.0\.1:9090;$/m,
    '-base: the directive instead');
is(accepted($t, $out), 'ok', '-base: nginx accepts it');

# what is wrong

for (["line 2: did not find expected", "a: 1\n- b\n"],
     ['is not a litestream.yml: it is no mapping', "- a\n"],
     ['line 1: "dbs" must be a list', "dbs: 1\n"],
     ['line 2: a database has no "path"', "dbs:\n  - replica: {}\n"],
     ['Litestream 0.5 has one replica', "dbs:\n  - path: /x\n    replicas:\n"
      . "      - path: /a\n      - path: /b\n"],
     ['no SQLite database is found in', "dbs: []\n"])
{
    my ($why, $text) = @$_;

    yaml($text);
    ($rc, $out, $err) = init();
    is("$rc$out " . ($err =~ /^nginx-litestream: .*\Q$why\E.*\n\z/ ? $why : $err),
        "1 $why", "wrong: $why");
}


sub yaml { $t->write_file('litestream.yml', $_[0]) }


sub init {
    return cli($t, { cwd => $dir }, 'init', @_, 'litestream.yml');
}
