#!/usr/bin/perl

# GET ltx: what the replica holds, the same as Litestream itself lists, with
# sums; of very many files the newest.  Several who ask at once share one
# listing; a storage that hangs, or denies, keeps nobody and is said.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Storage;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3 gcc/)->plan(58)
    ->expect_alerts(qr/litestream supervisor process \d+ exited on signal 9/);

my $dir = $t->testdir;
my $storage = Test::Litestream::Storage->new($t);

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;
worker_processes 2;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;
    litestream_db       many %%TESTDIR%%/many/db.sqlite3 replicate=off;
    litestream_db       new %%TESTDIR%%/new/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

my $db = $t->db('app', rows => 3, size => 100000);

$t->db('many', rows => 1);
$t->db_dir($_) for qw! new replica replica/many replica/many/ltx
    replica/many/ltx/0 replica/many/ltx/9 !;
$t->run(env => $storage->env);

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
ok($t->waituntil(sub { glob "$dir/replica/app/ltx/9/*.ltx" }), 'a snapshot');

for (1 .. 5) {
    $db->insert();
    $t->api('sync/app', method => 'POST', body => '');
}

# the same as Litestream says

my $url = "file://$dir/replica/app";
my ($own, $r);

$t->waituntil(sub {
    $own = $db->ltx($url);
    $r = get('app');
    return $r->{files} == @$own;
});

is($r->{status}, 200, 'status');
is($r->{headers}{'cache-control'}, 'no-store', 'Cache-Control');
is(join(' ', sort keys %$r), 'alias at bytes duration_ms error files headers '
    . 'history levels ltx max_txid min_txid newest oldest replica status '
    . 'truncated', 'members');
is("$r->{alias} $r->{replica}{type} $r->{replica}{url}", "app file $url",
    'of what');
is($r->{error}, undef, 'no error');
ok(!$r->{truncated}, 'all of it');

is(join("\n", sort map { entry($_) } @{ $r->{ltx} }),
    join("\n", sort map { entry($_) } @$own), 'files');
is(join(' ', map { $_->{max_txid} } @{ $r->{ltx} }),
    join(' ', reverse sort map { $_->{max_txid} } @$own), 'the newest first');

my %sum;

for (@$own) {
    $sum{$_->{level}}{files}++;
    $sum{$_->{level}}{bytes} += $_->{size};
    $sum{bytes} += $_->{size};
}

is($r->{files}, @$own, 'how many');
is($r->{bytes}, $sum{bytes}, 'bytes');
is($r->{min_txid}, '0' x 15 . '1', 'the first transaction');
is($r->{max_txid}, $db->txid($url), 'the last transaction');
is(join('; ', map { "$_->{level} $_->{files} $_->{bytes}" }
        @{ $r->{levels} }),
    join('; ', map { "$_ $sum{$_}{files} $sum{$_}{bytes}" }
        grep { /^\d$/ } sort keys %sum), 'levels');

my @times = sort map { $_->{timestamp} } @{ $r->{ltx} };

like($r->{at}, qr/^20\d\d-.*\.\d{3}Z$/, 'when');
is("$r->{oldest} $r->{newest}", "$times[0] $times[-1]", 'oldest and newest');
is($r->{history}{from}, (sort map { $_->{timestamp} }
    grep { $_->{min_txid} eq '0000000000000001' } @{ $r->{ltx} })[0],
    'what a restore begins with');
is($r->{history}{to}, $times[-1], 'the last that can be restored');

# parts of it

my $part = get('app?level=9');

is(join(' ', map { $_->{level} } @{ $part->{ltx} }),
    join(' ', (9) x $sum{9}{files}), 'a level');
is("$part->{files} $part->{truncated}", "$r->{files} 0",
    'a level: sums of all, not truncated');

$part = get('app?level=0&limit=2');

is(join(' ', map { entry($_) } @{ $part->{ltx} }),
    join(' ', map { entry($_) } (grep { $_->{level} == 0 } @{ $r->{ltx} })
    [0, 1]), 'a limit: the newest');
is($part->{truncated}, 1, 'a limit: truncated');
is(scalar(@{ get('app?level=all&limit=10000')->{ltx} }), @$own,
    'a limit that is not reached');
is(scalar(@{ get('app?limit=0')->{ltx} }), 0, 'a limit of 0: sums alone');

# what is not there

$r = get('new');
is("$r->{status} $r->{files} $r->{bytes}", '200 0 0', 'an empty replica');
is_deeply([ @$r{qw/ levels ltx min_txid max_txid oldest newest /} ],
    [ [], [], undef, undef, undef, undef ], 'an empty replica: nothing');
ok(!$r->{truncated}, 'an empty replica: all of it');

# very many files

my $level = "$dir/replica/many/ltx/0";

for my $n (1 .. 12000) {
    my $name = sprintf "%016x-%016x.ltx", $n, $n;
    open my $f, '>', "$level/$name" or die "open($name) failed: $!\n";
}

$r = get('many?limit=10000');

is("$r->{status} $r->{files} $r->{truncated}", '200 12000 1', 'very many');
is(scalar(@{ $r->{ltx} }), 10000, 'very many: the limit');
is($r->{ltx}[0]{max_txid}, sprintf('%016x', 12000), 'very many: the newest');
is($r->{ltx}[-1]{max_txid}, sprintf('%016x', 2001),
    'very many: the last of them');
is($r->{levels}[0]{min_txid}, '0000000000000001', 'very many: the sums');

$r = get('many');
is(scalar(@{ $r->{ltx} }), 1000, 'very many: the default limit');

# HEAD, and what is not understood

my $head = response(http_head('/litestream/ltx/app'));
is("$head->{status} $head->{body}", '200 ', 'HEAD');
cmp_ok($head->{headers}{'content-length'}, '>', 500, 'HEAD: Content-Length');

for (['ltx', 404, 'unknown endpoint'],
     ['ltx/nobody', 404, 'unknown database "nobody"'],
     ['ltx/app?level=10', 400, 'invalid "level" value "10"'],
     ['ltx/app?level=x', 400, 'invalid "level" value "x"'],
     ['ltx/app?limit=-1', 400, 'invalid "limit" value "-1"'],
     ['ltx/app?limit=10001', 400, '"limit" must not be over 10000'],
     ['ltx/app?mode=full', 400, 'unknown parameter "mode"'])
{
    my $r = response(http_get("/litestream/$_->[0]"));
    is("$r->{status} " . json($r->{body})->{error}, "$_->[1] $_->[2]", $_->[0]);
}

my $post = response(http_post('/litestream/ltx/app'));
is("$post->{status} $post->{headers}{allow}", '405 GET, HEAD', 'POST');

# several at once, of a storage that hangs: one listing; others are not held up

old();
$storage->mode('hang /replica/app/');

my $n = $storage->opened('/replica/app/ltx/0');
my @calls = map { http_get('/litestream/ltx/app', start => 1) } 1 .. 3;

ok($t->waituntil(sub { $storage->opened('/replica/app/ltx/0') > $n }),
    'it hangs');

$r = get('app?timeout=1ms');
is("$r->{status} $r->{running}", '202 1', 'who does not wait');
is(join(' ', grep { defined $r->{$_} } qw/ files ltx levels error at /), '',
    'who does not wait: nothing is known');
is(get('many')->{status}, 200, 'another replica');
is($t->status->{databases}[0]{state}, 'replicating', 'the status');

$storage->mode();

my @r = map { finish($_) } @calls;

is(join(' ', map { "$_->{status} $_->{at}" } @r),
    join(' ', ("200 $r[0]{at}") x 3), 'it goes on: all have the same');
is($storage->opened('/replica/app/ltx/0') - $n, 1, 'one listing');
is(get('app')->{at}, $r[0]{at}, 'shared for some seconds');

# the job is killed, the supervisor is

old();
$storage->mode('hang /replica/app/');
my $s = http_get('/litestream/ltx/app', start => 1);
$t->waituntil(sub { $t->job_pids });
$t->signal('KILL', $t->job_pids);

$r = finish($s);
is("$r->{status} $r->{error}", '503 job "ltx" ended on signal 9',
    'the job is killed');

$s = http_get('/litestream/ltx/app', start => 1);
$t->waituntil(sub { $t->job_pids });
$storage->mode();
$t->signal('KILL', $t->supervisor_pid);

$r = finish($s);
is($r->{status}, 200, 'the supervisor is killed: its successor answers')
    or diag($r->{error});

# denied

old();
is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
chmod 0, "$dir/replica/app/ltx/0" or die "chmod() failed: $!\n";

$r = get('app');
is("$r->{status} " . ($r->{files} // 'unknown'), '503 unknown', 'denied');
like($r->{error}, qr/replica ".*" cannot be read: open .*: permission denied/,
    'denied: why');
chmod 0755, "$dir/replica/app/ltx/0";

is(get('app')->{status}, 200, 'not denied any more: an error is not shared');


sub get { return finish(http_get("/litestream/ltx/$_[0]", start => 1)) }


sub finish {
    my $r = response(http_end($_[0]));
    return { %{ json($r->{body}) }, status => $r->{status},
        headers => $r->{headers} };
}


# Litestream's list has seconds

sub entry {
    my ($e) = @_;

    return join ' ', @$e{qw/ level min_txid max_txid size /},
        $e->{timestamp} =~ s/\.\d+Z$/Z/r;
}


# until the last list is shared no more

sub old {
    my $end = $t->now + 3.2;
    $t->waituntil(sub { $t->now > $end });
}
