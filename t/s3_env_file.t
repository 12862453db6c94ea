#!/usr/bin/perl

# An environment file as people write them, used unchanged: the database, its
# replica and the keys are said there.  Nobody but Litestream gets the secret,
# and nothing shows it; AWS_CA_BUNDLE, with which Litestream does not start, is
# not passed on.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ children cmdline descendants slurp /;
use Test::Litestream::S3;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(31);

my $dir = $t->testdir;
my $secret = 'pa$$w0rd # ${HOME} \'"x';
my $s3 = Test::Litestream::S3->new($t, key => 'KEYFROMDOTENV',
    secret => 'pa$$w0rd#$HOME=x');

$secret = $s3->secret;
$s3->start();

my $replica = $s3->url('backups/site/db');

$t->write_file('.env', <<"EOF");
# the site

DB_FILE=$dir/app/db.sqlite3    # beside the media
export DEBUG=false
REPLICA_URL="$replica"

LITESTREAM_ACCESS_KEY_ID = ${\ $s3->key }
LITESTREAM_SECRET_ACCESS_KEY='$secret'
GREETING="two
lines"
EOF

chmod 0600, "$dir/.env";

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_db        default ${DB_FILE} replica=${REPLICA_URL};
    litestream_env_file  %%TESTDIR%%/.env;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api write=on;
        }
    }
}

EOF

my $db = $t->db('app', rows => 3);
my %env = (AWS_CA_BUNDLE => '/etc/ssl/certs/ca-certificates.crt');

$t->run(env => \%env);

is($t->waitforstate('default', 'replicating'), 'replicating', 'replicated');
is($t->database('default')->{replica}{url}, 's3://backups/site/db', 'its URL');
is($t->api('verify/default', method => 'POST')->{verified} ? 1 : 0, 1,
    'verified');
is($db->restore_count($replica, env => $s3->env), 3, 'it is there');

# who has the secret

my ($litestream) = $t->litestream_pids();
my @nginx = ($t->master_pid, $t->supervisor_pid, $t->worker_pids);
my $environ = slurp("/proc/$litestream/environ");

like($environ, qr/\0LITESTREAM_SECRET_ACCESS_KEY=\Q$secret\E\0/,
    'Litestream: the secret');
like($environ, qr/^(.*\0)?GREETING=two\nlines\0/s, 'Litestream: all else');
unlike($environ, qr/AWS_CA_BUNDLE/, 'Litestream: no AWS_CA_BUNDLE');

for my $pid (@nginx) {
    unlike(slurp("/proc/$pid/environ"), qr/\Q$secret\E|KEYFROMDOTENV/,
        'not in the environment of nginx');
}

for my $pid ($litestream, @nginx) {
    unlike(cmdline($pid), qr/\Q$secret\E|KEYFROMDOTENV/, 'not in arguments');
}

# who shows it

my ($rc, $out, $err) = $t->command({ env => \%env }, $t->{nginx}, '-T', '-p',
    "$dir/", '-c', "$dir/nginx.conf", '-e', "$dir/error.log");

is($rc, 0, 'nginx -T');
like(http_get('/litestream/config'), qr!bucket: "?backups!, 'GET config');
unlike("$out$err", qr/\Q$secret\E|KEYFROMDOTENV/, 'not in nginx -T');
ok(!leaked(), 'not in logs and the status');
ok(!readable(), 'not in a file that others can read');

# an error of the storage that has the key in it

my $mark = $t->log_mark;

$t->write_file('.env', slurp("$dir/.env") =~ s/pa\$\$w0rd/pa\$\$wrong/r);
is($t->reload(), 1, 'reload with another secret');

is($t->waitforstate('default', 'error', 40), 'error', 'it is wrong');
like($t->database('default')->{error},
    qr/SignatureDoesNotMatch|AccessDenied|403/, 'the storage says so');
ok(!leaked(), 'it is not in logs and the status');

$t->write_file('.env', slurp("$dir/.env") =~ s/pa\$\$wrong/pa\$\$w0rd/r);
is($t->reload(), 1, 'reload with the right one');
is($t->waitforstate('default', 'replicating', 40), 'replicating',
    'replicated again');

# nothing of the wrong one is left

my @kept = grep { -f $_ && slurp($_) =~ /pa\$\$wrong/ }
    keys %{ $t->tree("$dir/s") };
my @folders = glob "$dir/s/*-s3-*/jobs.yml";

is("@kept", '', 'nothing of the wrong secret is left');
is(scalar @folders, 1, 'nor the configuration that was for it');

# a reload without a change

($litestream) = $t->litestream_pids();

is($t->reload(), 1, 'reload');
is(($t->litestream_pids())[0], $litestream, 'the same Litestream');

is($t->stop(), 1, 'stop');

# the database is found again

$db->remove();
$t->run(env => \%env);

is($db->count, 3, 'restored');


sub leaked {
    my $text = join "\n", map { $t->read_file($_) // '' }
        'error.log', 'access.log', 'stderr.log', 's/status', 's/replicas';

    $text .= http_get('/litestream/status') . http_get('/litestream/ready')
        . http_get('/litestream/verify') . http_get('/litestream/config');

    return $text =~ /\Q$secret\E|KEYFROMDOTENV|pa\$\$wrong/ ? 1 : 0;
}


sub readable {
    my $tree = $t->tree("$dir/s");
    my @open = grep { -f $_ && (stat _)[2] & 0044 } keys %$tree;

    return scalar grep { slurp($_) =~ /\Q$secret\E|KEYFROMDOTENV/ } @open;
}
