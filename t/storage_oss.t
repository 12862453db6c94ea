#!/usr/bin/perl

# A replica on Alibaba's OSS, of which there is no server to be had: what is
# made of the example of docs/replicas.md, that its secrets are not shown, and
# what becomes of a server that is not there, or does not answer.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Docs;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(24);

my $db = $t->db('app', rows => 3);
my $secret = 'the-secret-of-oss';

# the example: it is not run, it would go where it says

Test::Litestream::Docs->conf($t, 'Alibaba OSS',
    env => { OSS_ACCESS_KEY_ID => 'KEYOFOSS', OSS_ACCESS_KEY_SECRET => $secret });

my ($rc, $dump) = $t->nginx('-T');

is($rc, 0, 'example: accepted');
is_deeply(keys_of($dump), { type => 'oss', bucket => 'backups',
    path => 'prod/app', region => 'cn-hangzhou',
    'sync-interval' => '1s' }, 'example: what is made of it');

# what is made of parameters

my $addr = '127.0.0.1:' . port(8900);

conf("region=cn-beijing endpoint=http://$addr access_key_id=\${KEY} "
    . 'secret_access_key=${SECRET} part_size=8m concurrency=2');

my $from = $t->now;

$t->run();

# of jobs: Litestream itself is not started yet

my ($yml) = glob $t->state_path . '/*-oss-*/jobs.yml';

is(sprintf('%04o', (stat $yml)[2] & 07777), '0400', 'its file: mode');
is_deeply(keys_of($t->read_file($yml)), { type => 'oss', bucket => 'backups',
    path => 'prod/app', region => 'cn-beijing', endpoint => "http://$addr",
    'access-key-id' => 'KEYOFOSS', 'secret-access-key' => $secret,
    'part-size' => 8388608, concurrency => 2,
    'sync-interval' => '1s' }, 'its file: keys');

my $shown = response(http_get('/litestream/config'))->{body};
my $replica = $t->database('app')->{replica};

is($replica->{type}, 'oss', 'status: type');
is($replica->{url}, 'oss://backups/prod/app', 'status: URL');

is(keys_of($shown)->{'secret-access-key'}, '***', 'the secret is masked');

# a server that is not there

is($t->waitforstate('app', 'error', 20), 'error', 'away: error');
note(sprintf 'away: error after %.1f s', $t->now - $from);
cmp_ok($t->now - $from, '<', $t->ceiling(12), 'away: in seconds');
like($t->database('app')->{error}, qr/\Q$addr\E.*connection refused/i,
    'away: the reason');
is($t->api('ready')->{ready} ? 1 : 0, 1, 'away: ready');

$t->stop();
missing('away', qr/\Q$addr\E.*connection refused/i);

# one that takes connections, and says nothing

my $deaf = IO::Socket::INET->new(LocalAddr => $addr, Listen => 64,
    ReuseAddr => 1) or die "listen($addr) failed: $!\n";

$from = $t->now;

$t->run();

is($t->waitforstate('app', 'error', 25), 'error', 'deaf: error');
note(sprintf 'deaf: error after %.1f s', $t->now - $from);
cmp_ok($t->now - $from, '<', $t->ceiling(20), 'deaf: within the timeout');
like($t->database('app')->{error},
    qr/"http:\/\/\Q$addr\E" takes connections, but has not answered/,
    'deaf: the reason');
is($t->api('ready')->{ready} ? 1 : 0, 1, 'deaf: ready');

$t->stop();
missing('deaf', qr/takes connections, but has not answered/);

# no secret anywhere

my $all = join "\n", $shown, ($t->nginx('-T'))[1],
    $dump, map { $t->read_file($_) } qw/ error.log stderr.log /;

is(index($all, $secret), -1, 'no secret anywhere');


# of the replica in a litestream.yml

sub keys_of {
    my ($text) = @_;

    my (undef, $block) = $text =~ /^( *)replica:\n((?:\1  .*\n)+)/m;
    return { map { /^ +([a-z-]+): "?([^"]*)"?$/ ? ($1, $2) : () }
        split /\n/, $block // '' };
}


# nothing is made of it, 4 tests

sub missing {
    my ($name, $why) = @_;

    rename $db->path, $db->path . '-kept';

    my $start = $t->now;
    my ($rc, $err) = $t->try_run(ceiling => 40);

    isnt($rc, 0, "$name: missing, nginx does not start");
    cmp_ok($t->now - $start, '<', $t->ceiling(20),
        "$name: missing, within the timeout");
    like($err, $why, "$name: missing, the reason");
    is(-e $db->path ? 1 : 0, 0, "$name: missing, nothing is made");

    $t->stop() unless $rc;
    rename $db->path . '-kept', $db->path;
}


sub conf {
    my ($params) = @_;

    $t->write_file('env', "KEY=KEYOFOSS\nSECRET=$secret\n");
    chmod 0600, $t->testdir . '/env';

    $t->write_file_expand('nginx.conf', <<"EOC");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_env_file  %%TESTDIR%%/env;
    litestream_restore   blocking timeout=8s;
    litestream_replica   oss://backups/prod $params;
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
