#!/usr/bin/perl

# A directory of databases with S3, whose bucket is listed: a machine that has
# nothing gets back all that is there, whatever else is, and however much.  A
# bucket that cannot be listed is said to be, and does not hold up what is here.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use File::Path qw/ make_path remove_tree /;
use Test::Litestream;
use Test::Litestream::S3;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(38);

my $s3 = Test::Litestream::S3->new($t);
my $endpoint = $s3->endpoint;
my $dir = $t->testdir;
my $bucket = "$s3->{dir}/data/backups";

my @names = ('a.db', 'x/b.db', 'x/y/c d&e+f.db', 'z.db');

$t->db_dir($_) for qw! t t/x t/x/y !;

my %db = map { $_ => Test::Litestream::DB->make("$dir/t/$_", rows => 3) }
    @names;

conf();
$s3->start();
$t->run();

is($t->waitforstate("t/$_", 'replicating'), 'replicating', "$_: replicating")
    for @names;

my $d = $t->status->{directories}[0];

is($d->{listed}, 1, 'its replica is listed');
is($d->{replica}{type}, 's3', 'its type');
ok($t->quit(), 'quit');

# more objects than an answer has, of a replica that is no database of this
# directory, and of no replica; and what only looks like one

object(map { 'many.txt/0001/' . name($_) } 1 .. 1100);
object(map { "nothing/$_" } 1 .. 1100);
object('no.db/0000/readme.txt', 'no.db/ltx/0/x', 'no.db/000a/' . name(1),
    'no.db/' . name(1), '0000/' . name(1), 'x/-wal/0000/' . name(1));

# another machine

lost();
$t->run();

is(Test::Litestream::DB->new("$dir/t/$_")->count, 3, "$_: restored")
    for @names;
is(join(' ', sort map { $_->{alias} } @{ $t->status->{databases} }),
    join(' ', sort map { "t/$_" } @names), 'and nothing else');
is($t->waitforstate("t/$_", 'replicating', 30), 'replicating',
    "$_: replicating again") for @names;
is(scalar(my @warned = $t->read_log(qr/cannot be listed/)), 0,
    'it can be listed');

ok($t->quit(), 'quit');

# all are here, and the storage is away: nobody waits

$s3->stop();

my $begin = $t->now;
my ($rc, $err) = $t->try_run();

is($rc, 0, 'away, all are here: nginx starts') or diag($err);
cmp_ok($t->now - $begin, '<', $t->ceiling(10), 'at once');
ok($t->waituntil(sub {
    ($t->status->{directories}[0]{error} // '') =~ qr/cannot be listed/;
}), 'it is told');
is($t->api('ready?db=t')->{ready}, 1, 'ready');

$s3->start();

ok($t->waituntil(sub { $t->status->{directories}[0]{listed} }, 60),
    'there again: listed');
ok($t->quit(), 'quit');

# the same with one that hangs

$s3->signal('STOP');

$begin = $t->now;
($rc, $err) = $t->try_run();

is($rc, 0, 'hanging, all are here: nginx starts') or diag($err);
cmp_ok($t->now - $begin, '<', $t->ceiling(15), 'hanging: soon');
ok($t->waituntil(sub {
    ($t->status->{directories}[0]{error} // '')
        =~ qr/cannot be listed: .*has not answered/;
}), 'hanging: it is told');

$s3->signal('CONT');
ok($t->waituntil(sub { $t->status->{directories}[0]{listed} }, 60),
    'it answers again: listed') or diag($t->status->{directories}[0]{error}, $s3->log);
ok($t->quit(), 'quit');

# nothing is here, and the storage is away, or does not like the key

lost();
$s3->stop();

($rc, $err) = $t->try_run();

isnt($rc, 0, 'away, nothing is here: nginx does not start');
like($err, qr/replica "s3:\S+ cannot be listed: "\Q$endpoint\E" cannot be /,
    'why');
is(join(' ', glob "$dir/t/*"), '', 'nothing is made');

$s3->start();
conf('wrong-secret');

($rc, $err) = $t->try_run();

isnt($rc, 0, 'denied: nginx does not start');
like($err, qr/cannot be listed: SignatureDoesNotMatch: /, 'why');
unlike($err . join('', $t->read_log()), qr/wrong-secret/, 'no secret is shown');

conf(undef, 'nosuch');

($rc, $err) = $t->try_run();

isnt($rc, 0, 'no bucket: nginx does not start');
like($err, qr/cannot be listed: NoSuchBucket: /, 'why');

conf();

($rc, $err) = $t->try_run();

is($rc, 0, 'and again: nginx starts') or diag($err);


sub lost {
    remove_tree("$dir/s", map { "$dir/t/$_" } '.a.db-litestream', 'x');
    remove_tree(glob "$dir/t/*");
    remove_tree(glob "$dir/t/.*-litestream");
}


sub name { return sprintf '%016x-%016x.ltx', $_[0], $_[0] }


# below the directory's place in the bucket

sub object {
    for my $name (@_) {
        make_path("$bucket/p/t/$name" =~ s!/[^/]+$!!r);

        open my $f, '>', "$bucket/p/t/$name" or die "$name: $!\n";
        print $f 'x';
    }
}


sub conf {
    my ($secret, $name) = @_;

    $secret //= $s3->secret;
    $name //= 'backups';

    $t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_env      LITESTREAM_ACCESS_KEY_ID=${\ $s3->key };
    litestream_env      LITESTREAM_SECRET_ACCESS_KEY=$secret;
    litestream_restore  blocking timeout=15s;
    litestream_replica  s3://$name/p endpoint=$endpoint;
    litestream_db       t %%TESTDIR%%/t/**/*.db;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF
}
