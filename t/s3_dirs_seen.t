#!/usr/bin/perl

# A directory of databases with S3, whose key is in a file that Litestream alone
# reads: new ones join the Litestream that runs; lost ones are restored if they
# were seen from here, else that is warned of, and one that is named by its own
# litestream_db is restored in any case.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use File::Path qw/ remove_tree /;
use Test::Litestream;
use Test::Litestream::S3;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(27);

my $s3 = Test::Litestream::S3->new($t);
my $endpoint = $s3->endpoint;
my $dir = $t->testdir;

$t->write_file('credentials', "[default]\naws_access_key_id = ${\ $s3->key }\n"
    . "aws_secret_access_key = ${\ $s3->secret }\n");
chown +($t->user)[2, 3], "$dir/credentials" if $> == 0;
chmod 0600, "$dir/credentials";

conf();

$t->db_dir($_) for qw! t t/x !;

my %db = map { $_ => Test::Litestream::DB->make("$dir/t/$_.db", rows => 3) }
    'a', 'x/b';

$s3->start();
$t->run();

is($t->waitforstate("t/$_.db", 'replicating'), 'replicating',
    "$_: replicating") for sort keys %db;

my $d = $t->status->{directories}[0];

is($d->{listed}, undef, 'its replica is not listed');
is($d->{replica}{type}, 's3', 'its type');
ok($t->waitforlog(qr/\[warn\].*directory "t": replica "s3:\S+ cannot be listed/),
    'that is warned of');

# a new one

my ($pid) = $t->litestream_pids;

$db{new} = Test::Litestream::DB->make("$dir/t/new.db", rows => 3);

is($t->waitforstate('t/new.db', 'replicating', 30), 'replicating',
    'a new one: replicating');
is($t->api('sync/t', method => 'POST', body => '')->{databases}[2]{synced}, 1,
    'a new one: synced');
is(join(' ', $t->litestream_pids), $pid, 'a new one: the same Litestream');
is($t->api('verify/t/new.db', method => 'POST', body => '')->{verified}, 1,
    'a new one: its backup restores');

# lost: those that were seen are restored

ok($t->quit(), 'quit');

$_->remove for @db{'a', 'x/b'};
remove_tree("$dir/t/x");

$t->run();

is($db{$_}->count, 3, "$_: was seen, and is restored") for 'a', 'x/b';
is($t->waitforstate("t/$_.db", 'replicating', 30), 'replicating',
    "$_: replicating again") for 'a', 'x/b';

# with the storage away, nothing that is lost is taken for new

ok($t->quit(), 'quit');

$db{a}->remove;
$s3->stop();

my ($rc, $err) = $t->try_run();

isnt($rc, 0, 'storage away, one is missing: nginx does not start');
like($err, qr/database "t\/a\.db".*\Q$endpoint\E" cannot be reached/,
    'why');
ok(!-e $db{a}->path, 'it is not made');

$s3->start();

# another machine: nothing of it was seen; what is named is restored

remove_tree("$dir/s");
$_->remove for values %db;
remove_tree("$dir/t/x");

conf("litestream_db named %%TESTDIR%%/t/new.db "
    . "replica=s3://backups/t/new.db?endpoint=$endpoint&region=us-east-1;");
$t->run();

is($db{new}->count, 3, 'named: restored');
is($t->waitforstate('named', 'replicating', 30), 'replicating',
    'named: replicating');
ok(!-e $db{a}->path, 'not named: not restored');
is(join(' ', map { $_->{alias} } @{ $t->status->{databases} }), 'named',
    'not named: not in the status');

# its name is used again: the backup is not touched

my $other = Test::Litestream::DB->make("$dir/t/a.db", rows => 1);

is($t->waitforstate('t/a.db', 'error', 30), 'error',
    'another one of that name: error');
like($t->database('t/a.db')->{error}, qr/replica .* is ahead of the database/,
    'another one of that name: why');
is($t->api('ready?db=t')->{ready}, 1, 'another one of that name: in place');

# moved away, and named: the backup is there

$other->remove;
conf("litestream_db named %%TESTDIR%%/t/a.db "
    . "replica=s3://backups/t/a.db?endpoint=$endpoint&region=us-east-1;");

ok($t->quit(), 'quit');
$t->run();

is($db{a}->count, 3, 'named later: its backup is restored');


sub conf {
    my ($more) = @_;

    $more //= '';

    $t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_env      AWS_SHARED_CREDENTIALS_FILE=%%TESTDIR%%/credentials;
    litestream_restore  blocking timeout=5s;
    litestream_replica  s3://backups region=us-east-1 endpoint=$endpoint;
    litestream_db       t %%TESTDIR%%/t/**/*.db;
    $more

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOF
}
