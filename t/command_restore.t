#!/usr/bin/perl

# nginx-litestream restore: rows that were written at known moments are
# restored as of each of these, by time and by transaction, while nginx runs
# and when it does not; what was before, or will be, is refused and named.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use POSIX qw/ floor strftime /;
use Time::HiRes qw/ time /;

use Test::Litestream;
use Test::Litestream::CLI;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(68);

my $dir = $t->testdir;

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

my $db = $t->db('app', rows => 3, mode => 0600);

$t->db_dir('replica');
$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

# what is committed in one of these is in the replica before it ends

my @moments;

for my $n (1 .. 5) {
    my $rows = $db->insert(1, "moment $n");

    my ($rc, $out, $err) = cli($t, 'sync', '-json', 'app');
    is("$rc$err", '0', "moment $n: synced");

    push @moments, { rows => $rows, txid => json($out)->{txid},
        time => now() };

    # a time is of the past only when it has passed

    my $end = time() + 0.1;
    $t->waituntil(sub { time() > $end });
}

moments('up');

my ($rc, $out, $err) = cli($t, 'restore', 'app');

is("$rc$err", '0', 'now: exit code');
like($out, qr!\Aapp:\ restored\ to
    \ (\Q$dir\E/app/db\.sqlite3\.restored-\d{8}T\d{6}Z),
    \ transaction\ [0-9a-f]{16},\ [\d.]+K,\ \d+\ ms\n\z!x, 'now');

my ($copy) = $out =~ m!to (/\S+),!;
my @st = stat $copy;

is(rows($copy), 8, 'now: rows');
is(sprintf('%o %d', $st[2] & 07777, $st[4]), '600 ' . ($t->user)[2],
    'now: mode and owner');
is(join(' ', $db->beside), $copy =~ s!.*/!!r, 'nothing else is left');
unlink $copy;

ok($t->quit(), 'quit');

moments('down');

# before and after

my $held = $db->ltx("file://$dir/replica/app");

($rc, $out, $err) = cli($t, 'restore', '-timestamp', '2020-01-01T00:00:00Z',
    'app');

is("$rc$out", '1', 'before all of it: exit code');
like($err, qr/^\S+\ "app":\ not\ restored:\ the\ replica\ cannot\ go\ back\ to
    \ 2020-01-01T00:00:00Z,\ its\ files\ are\ of\ (\S+)\ to\ (\S+)\n\z/x,
    'before all of it');

my @times = sort map { $_->{timestamp} } @$held;

is(join(' ', $err =~ /of (\S+) to (\S+)$/), "$times[0] $times[-1]",
    'before all of it: what there is');

($rc, $out, $err) = cli($t, 'restore', '-json', '-txid', 'f' x 16, 'app');

is($rc, 1, 'after all of it: exit code');
like(json($out)->{error}, qr/^"app":\ not\ restored:
    \ transaction\ f{16}\ is\ not\ in\ the\ replica,\ which\ holds\ 0{15}1\ to\ [0-9a-f]{16}$/x,
    'after all of it');

# as it is now, and what would be done for it

($rc, $out) = cli($t, 'restore', '-timestamp', now(), '-json', 'app');

is(rows(json($out)->{db_path}), 8, 'the time of now');
unlink json($out)->{db_path};

my $m = $moments[2];

($rc, $out, $err) = cli($t, 'restore', '-dry-run', '-json', '-txid',
    $m->{txid}, '-o', "$dir/app/plan", 'app');

is("$rc$err", '0', '-dry-run: exit code');

my $plan = json($out);

is("$plan->{max_txid} $plan->{target_path}", "$m->{txid} $dir/app/plan",
    '-dry-run: the plan');
ok(!-e "$dir/app/plan", '-dry-run: no file');
like((cli($t, 'restore', '-dry-run', 'app'))[1], qr/^Files to fetch:$/m,
    '-dry-run: for people');

# in the place of the database: what was since then stays in the replica

$m = $moments[1];
$copy = "$dir/app/copy";

is((cli($t, 'restore', '-txid', $m->{txid}, '-o', $copy, 'app'))[0], 0,
    'in its place: restored');

unlink $db->files;
rename $copy, $db->path or die "rename() failed: $!\n";

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating',
    'in its place: replicating');
is($db->insert(1, 'after'), $m->{rows} + 1, 'in its place: another row');
is((cli($t, 'sync', 'app'))[0], 0, 'in its place: synced');
is($db->restore_count("file://$dir/replica/app"), $m->{rows} + 1,
    'in its place: what the replica holds now');

($rc, $out) = cli($t, 'restore', '-json', '-txid', $moments[-1]{txid}, 'app');

is(rows(json($out)->{db_path}), $moments[-1]{rows},
    'in its place: what it held before');


# each moment, by its time and its transaction: (name)

sub moments {
    my ($name) = @_;

    for my $n (0 .. $#moments) {
        for my $by (qw/ timestamp txid /) {
            my $m = $moments[$n];
            my $to = "$dir/app/$name-$by-$n";
            my $what = $by eq 'txid' ? $m->{txid} : $m->{time};

            my ($rc, $out, $err) = cli($t, 'restore', '-json', "-$by", $what,
                '-o', $to, 'app');

            is("$rc$err", '0', "$name, $by $n: exit code");

            my $r = json($out);

            is(join(' ', rows($to), $r->{txid}, $r->{bytes}, $r->{db_path}),
                join(' ', $m->{rows}, $m->{txid}, -s $to, $to),
                "$name, $by $n");
            unlink $to;
        }
    }
}


# the largest id, if the file is sound

sub rows {
    my ($path) = @_;

    my $copy = Test::Litestream::DB->new($path, user => ($t->user)[0]);

    return $copy->sql('PRAGMA integrity_check; SELECT max(id) FROM t;')
        =~ s/^ok\n//r;
}


sub now {
    my $now = time();

    return strftime('%Y-%m-%dT%H:%M:%S', gmtime floor($now))
        . sprintf '.%03dZ', ($now - floor($now)) * 1000;
}
