#!/usr/bin/perl

# Two sites with an owner, a bucket and a key of its own each: two Litestreams,
# and neither owner gets at what is the other's.  When one bucket is wrong, the
# other site is ready and replicated all the same.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ slurp /;
use Test::Litestream::S3;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan($> ? 13 : 17);

my $dir = $t->testdir;
my %user = (shop => ($t->user)[0], blog => $> ? ($t->user)[0] : 'daemon');
my (%s3, %db);

for my $site (qw/ shop blog /) {
    $s3{$site} = Test::Litestream::S3->new($t, buckets => ["$site-backup"]);
    $s3{$site}->start();

    $db{$site} = $t->db($site, rows => 3, user => $user{$site});
    env_file($site, "$site-backup");
}

$t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api write=on;
        }
    }

@{[ map { server($_) } qw/ shop blog / ]}
}

EOF

$t->run();

for my $site (qw/ shop blog /) {
    is($t->waitforstate($site, 'replicating'), 'replicating',
        "$site: replicated");
    is($db{$site}->restore_count($s3{$site}->url("$site-backup/db.sqlite3"),
        env => $s3{$site}->env), 3, "$site: in its own bucket");
}

my @pids = $t->litestream_pids();
my @groups = @{ $t->status()->{litestream} };

is(scalar @pids, 2, 'two Litestreams');
is(scalar @groups, 2, 'two groups');

# a Litestream has the key of its own site, not the other's

my $both = 0;

for my $pid (@pids) {
    my $environ = slurp("/proc/$pid/environ");
    my @keys = grep { index($environ, $s3{$_}->secret) >= 0 } qw/ shop blog /;

    $both ||= @keys != 1;
}

ok(!$both, 'each has one key');

if ($> == 0) {
    for my $group (@groups) {
        my ($other) = grep { $_ ne $group->{user} } values %user;
        my $path = $t->state_path . "/$group->{group}";

        isnt(($t->as_user($other, 'cat', "$path/litestream.yml"))[0], 0,
            "$other cannot read the configuration of $group->{user}");
        isnt(($t->as_user($other, 'ls', "$path/run"))[0], 0,
            "$other cannot see the sockets and copies of $group->{user}");
    }
}

is($t->stop(), 1, 'stop');

# one bucket is wrong, and the database of that site is missing

env_file('blog', 'no-such-bucket');
$db{blog}->remove();

$t->run();

is($t->waitforstate('blog', 'error', 30), 'error', 'wrong bucket: an error');
like($t->database('blog')->{error}, qr/NoSuchBucket/, 'its reason');
is($t->waitforstate('shop', 'replicating'), 'replicating',
    'the other is replicated');

my $r = response(http_get('/litestream/ready?db=shop'));

is($r->{status}, 200, 'the other is ready');

$db{shop}->insert(2);
is($t->api('sync/shop', method => 'POST')->{synced} ? 1 : 0, 1,
    'the other is synced');


sub env_file {
    my ($site, $bucket) = @_;

    my $env = $s3{$site}->env;

    $t->write_file("$site.env", join "\n",
        'LITESTREAM_REPLICA_ENDPOINT=' . $s3{$site}->endpoint,
        "LITESTREAM_REPLICA_BUCKET=$bucket",
        map({ "$_=$env->{$_}" } sort keys %$env), '');

    chmod 0600, "$dir/$site.env";
}


sub server {
    my ($site) = @_;

    return <<"EOS";
    server {
        listen               127.0.0.1:8080;
        server_name          $site;
        litestream_env_file  $dir/$site.env;
        litestream_db        $site $dir/$site/db.sqlite3;
    }
EOS
}
