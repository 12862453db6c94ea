#!/usr/bin/perl

# A litestream.yml written by hand, with replicas on S3, is adopted as it is:
# what Litestream itself has replicated with it is restored and continued.
# Its secrets are seen nowhere.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::S3;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(31);

my $dir = $t->testdir;
my $s3 = Test::Litestream::S3->new($t, buckets => [qw/ backups more /]);

$s3->start();

my $yml = <<"EOF";
# keys for all of them
access-key-id: \${MY_KEY}
secret-access-key: \${MY_SECRET}

snapshot:
  interval: 12h

dbs:
  - path: $dir/app/db.sqlite3
    replica:
      type: s3
      bucket: backups
      path: prod/app
      region: us-east-1
      endpoint: ${\ $s3->endpoint }
      force-path-style: true
  - path: $dir/queue/queue.sqlite3
    replica:
      url: s3://more/queue?endpoint=${\ $s3->endpoint }
      region: us-east-1
EOF

$t->write_file('litestream.yml', $yml);

# the keys are where nginx.conf does not show them

$t->write_file('env', "MY_KEY=${\ $s3->key }\nMY_SECRET=${\ $s3->secret }\n");
chmod 0600, "$dir/env";

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_log          %%TESTDIR%%/litestream.log;
    litestream_env_file     %%TESTDIR%%/env;
    litestream_base_config  litestream.yml;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api write=on;
        }
    }
}

EOF

my %db = (
    db => $t->db('app', rows => 5),
    queue => Test::Litestream::DB->make($t->db_dir('queue') . '/queue.sqlite3',
        rows => 2),
);
my %url = map { $_ => $s3->url(
    $_ eq 'db' ? 'backups/prod/app' : 'more/queue') } keys %db;

# replicated by Litestream alone, with that very file, then lost

my ($rc, undef, $err) = $db{db}->litestream({ user => $db{db}->user,
    env => { MY_KEY => $s3->key, MY_SECRET => $s3->secret } },
    'replicate', '-once', '-config', "$dir/litestream.yml");

is($rc, 0, 'Litestream alone') or diag($err);
is($db{$_}->restore_count($url{$_}, env => $s3->env), $_ eq 'db' ? 5 : 2,
    "$_: Litestream's backup") for sort keys %db;

$_->remove() for values %db;

# adopted

$t->run();

is($db{db}->count, 5, 'db: restored');
is($db{queue}->count, 2, 'queue: restored');

for (sort keys %db) {
    is($t->waitforstate($_, 'replicating'), 'replicating', "$_: replicated");

    my $st = $t->database($_);

    is($st->{error}, undef, "$_: no error");
    is($st->{replica}{type}, 's3', "$_: type");
    is($st->{replica}{url}, $url{$_} =~ s/\?.*//r, "$_: URL");

    my $rows = $db{$_}->insert(3);

    is($t->api("sync/$_", method => 'POST')->{synced} ? 1 : 0, 1,
        "$_: synced");
    is($db{$_}->restore_count($url{$_}, env => $s3->env), $rows,
        "$_: continued");
    is($t->api("verify/$_", method => 'POST')->{verified} ? 1 : 0, 1,
        "$_: verified");
}

is(scalar(my @pids = $t->litestream_pids), 1, 'one Litestream');

# what Litestream has got, and what is shown of it

my ($made) = glob $t->state_path . '/*-s3-*/litestream.yml';
my $text = $t->read_file($made);

is(() = $text =~ /^    secret-access-key: "\Q${\ $s3->secret }\E"$/mg, 2,
    'the keys of all are those of each');
like($text, qr/^snapshot:\n  interval: 12h$/m, 'the settings of the file');

my $shown = response(http_get('/litestream/config'))->{body};

is(() = $shown =~ /^    secret-access-key: "\*\*\*"$/mg, 2, 'GET config');

my $dump = join '', ($t->nginx('-T'))[1];

is(() = $dump =~ /^    secret-access-key: "\*\*\*"$/mg, 2, 'nginx -T');

# lost once more

ok($t->stop(), 'stop');

$db{db}->remove();
$t->run();

is($db{db}->count, 8, 'restored once more');
is($t->waitforstate('db', 'replicating'), 'replicating', 'replicated again');
is($t->read_file('litestream.yml'), $yml, 'the file is as it was');

# the storage refuses: the message has no secret in it

ok($t->stop(), 'stop');

$t->write_file('env', "MY_KEY=${\ $s3->key }\nMY_SECRET=not-the-secret\n");
$t->run();

is($t->waitforstate('db', 'error'), 'error', 'a wrong secret');

my $all = join "\n", $shown, $dump, map { $t->read_file($_) // '' }
    qw/ stderr.log litestream.log error.log /;

ok(index($all, $s3->secret) < 0 && $all !~ /not-the-secret/,
    'no secret anywhere');
