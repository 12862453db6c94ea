#!/usr/bin/perl

# nginx-litestream restore with Litestream 0.3.13: of a generation, of a WAL in
# it, of a time, and what there is not; and a list of a storage that is away is
# no empty list.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use POSIX qw/ strftime /;
use Time::HiRes qw/ time /;

use Test::Litestream;
use Test::Litestream::CLI;
use Test::Litestream::DB;

my $t = Test::Litestream->new()->has(qw/http/)->old()
    ->has_daemon(qw/litestream sqlite3/)->plan(33);

my $dir = $t->testdir;

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3 sync_interval=200ms
                        checkpoint_interval=1s;
    litestream_db       away %%TESTDIR%%/app/away.sqlite3
                        replica=s3://bucket/away?region=us-east-1
                        restore=off;

    litestream_env  AWS_ACCESS_KEY_ID=key;
    litestream_env  AWS_SECRET_ACCESS_KEY=the-secret;
    litestream_env  LITESTREAM_S3_ENDPOINT=http://127.0.0.1:%%PORT_8099%%;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api write=on;
        }
    }
}

EOF

my $db = $t->db('app', rows => 3);
my $n = 0;

$t->command('cp', '-a', $db->path, "$dir/app/away.sqlite3");
$t->db_dir('replica');
$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

# a generation with two WALs

insert(1, 'first WAL');

ok($t->waituntil(sub {
    insert(1, 'filler');
    return run('wal', 'app') =~ /^file +[0-9a-f]{16} +1 /m;
}), 'another WAL');

insert(1, 'second WAL');

my $then = now();

# a time is of the past only when it has passed

my $end = time() + 0.1;
$t->waituntil(sub { time() > $end });
insert(1, 'after that');

my @generations = generations();
is(scalar @generations, 1, 'one generation');

my $one = $generations[0];
my $rows = $db->count;

# and another one

ok($t->quit(), 'quit');
$db->sql('PRAGMA wal_checkpoint(TRUNCATE)');
$t->run();
is($t->waitforstate('app', 'replicating'), 'replicating', 'again');

insert(4, 'second generation');

@generations = generations();
is(scalar @generations, 2, 'two generations');

my ($two) = grep { $_ ne $one } @generations;

# restored, while nginx runs

for (1, 2) {
    my $where = $_ == 1 ? 'up' : 'down';

    is(restored(), $rows + 4, "$where: the newest");
    is(restored('-generation', $one), $rows, "$where: the first generation");
    is(restored('-generation', $two), $rows + 4, "$where: the second one");
    is(restored('-timestamp', $then), $rows - 1, "$where: a time");

    is(count(copy('-generation', $one, '-index', '00000000'), 'first WAL'), 1,
        "$where: the first WAL");
    is(count(copy('-generation', $one, '-index', '00000000'), 'second WAL'), 0,
        "$where: without the second one");

    $t->quit() if $_ == 1;
}

# what there is not

for ([ 'generation', 'f' x 16, qr/there is no such generation or WAL/ ],
     [ 'timestamp', '2020-01-01T00:00:00Z', qr/cannot go back to 2020-01-01/ ],
     [ 'index', 'zz', qr/invalid value "zz" for flag -index/ ])
{
    my ($what, $value, $why) = @$_;
    my $out = run('restore', "-$what", $value, '-o', "$dir/app/none", 'app');

    like($out, qr/^1 nginx-litestream: [^\n{]*$why[^\n{]*\n$/,
        "no such $what");
    is(join(' ', grep { /none/ } $db->beside), '', "no such $what: no file");
}

# the database is missing, and the place of it is said by its absence

$db->remove;
like(run('restore', '-if-db-not-exists', 'app'), qr/^0 /, 'in its place');
is($db->count, $rows + 4, 'in its place: rows');
like(run('restore', '-if-db-not-exists', 'app'), qr/^0 .*the file is there/s,
    'it is there');

# a storage that is away

for my $command (qw/ generations snapshots wal restore /) {
    my $out = run($command, 'away');

    like($out, qr/^1 nginx-litestream: "away": [^\n{]*refused[^\n{]*\n$/,
        "$command: a storage that is away");
}

# a URL, whose log is of another form

mkdir "$dir/bin";
symlink $t->litestream, "$dir/bin/litestream";

my ($rc, $out, $err) = cli($t, { env => { PATH => "$dir/bin:$ENV{PATH}" } },
    'generations', 'sftp://u@127.0.0.1:' . port(8099) . '/x');

is("$rc$out", '1', 'a URL of one that is away');
like($err, qr/^nginx-litestream: [^\n]*refused\n$/, 'a URL: why');


sub insert {
    $db->insert(@_);
    my $r = response(http_post('/litestream/sync/app?timeout=30s'));
    $r->{status} == 200 or diag($r->{body});
}


sub generations {
    return run('generations', 'app') =~ /^file +([0-9a-f]{16}) /mg;
}


sub copy {
    my $copy = "$dir/app/copy" . ++$n;
    my $out = run('restore', @_, '-o', $copy, 'app');
    diag($out) if $out !~ /^0 /;
    return $copy;
}


sub restored {
    my $copy = copy(@_);
    return -e $copy ? Test::Litestream::DB->new($copy)->count : 'none';
}


sub count {
    my ($copy, $v) = @_;
    return -e $copy ? Test::Litestream::DB->new($copy)->sql(
        "SELECT count(*) FROM t WHERE v = '$v'") : 'none';
}


sub now {
    my $time = time();
    return strftime('%Y-%m-%dT%H:%M:%S', gmtime $time)
        . sprintf('.%03dZ', 1000 * ($time - int $time));
}


# exit code and what it says

sub run {
    my ($rc, $out, $err) = cli($t, @_);
    return "$rc $out$err";
}
