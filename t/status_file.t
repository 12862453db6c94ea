#!/usr/bin/perl

# The status file: root's, of a fixed size, readable for all, kept while
# supervisors die; records that are half written are neither waited for nor
# shown; one with another layout is left to those who use it.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(23)
    ->expect_alerts(qr/litestream supervisor process \d+ exited on signal 9/);

my $dir = $t->testdir;
my $file = "$dir/s/status";

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

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

$t->db('app', rows => 7);
$t->db_dir('replica');

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

my @st = stat $file;
my $size = $st[7];

is(sprintf('%o', $st[2]), '100644', 'mode');
is($st[4], $>, 'owner');
cmp_ok($st[12] * 512, '<', 1000000, 'it is sparse');

# a supervisor that is killed again and again while others read

my ($bad, $n) = ('', 0);

for my $round (1 .. 2) {
    my $super = $t->supervisor_pid;

    $t->signal('KILL', $super);

    for (1 .. 20) {
        my $r = response(http_get('/litestream/status'));
        my $v = eval { json($r->{body}) };

        $n++;
        $bad .= $r->{body} unless $r->{status} == 200 && $v
            && $v->{databases}[0]{path} eq "$dir/app/db.sqlite3"
            && $v->{databases}[0]{state} =~ /^(replicating|starting|checking)$/;
    }

    $t->waituntil(sub {
        my $pid = $t->status->{supervisor}{pid};
        return $pid && $pid != $super;
    });
}

is($bad, '', "$n answers while supervisors died");
is($t->waitforstate('app', 'replicating'), 'replicating', 'as before');
is($t->status->{supervisor}{restarts}, 2, 'restarts');
is(join(' ', (stat $file)[1, 7]), "$st[1] $size", 'the same file');

# stopped in the middle of a record, made so by hand: the copy that does not
# count is garbage

my $head = 24;
my $super = $t->supervisor_pid;
my $pid = pack 'V', $super;

$t->waituntil(sub { 2 == (() = peek($head, 200) =~ /\Q$pid\E/g) });
$t->signal('STOP', $super);

my $text = peek(0, 300000);
my $path = "$dir/app/db.sqlite3\0";
my $at = index $text, $path;
my $old = $t->status;
my $begin = $t->now;

half(rindex($text, "app\0", $at) - 16, index($text, $path, $at + 1) - $at);

$at = index $text, $pid, $head;

half($head, index($text, $pid, $at + 1) - $at);

my $st = $t->status;

is($st->{databases}[0]{state}, 'replicating', 'half a database');
is_deeply([ @{ $st->{databases}[0] }{qw/ alias size txid error /} ],
    [ @{ $old->{databases}[0] }{qw/ alias size txid error /} ],
    'what was known before');
is($st->{supervisor}{pid}, $super, 'half a supervisor');
is(response(http_get('/litestream/ready'))->{status}, 200, 'ready');
cmp_ok($t->now - $begin, '<', $t->ceiling(3), 'nobody waits for it');

$t->signal('CONT', $super);

is($t->waitforstate('app', 'replicating'), 'replicating', 'written again');
is($t->status->{ready}, 1, 'ready');

# a layout that is not ours, under workers that have it mapped: another file

poke(4, 'V', 99);
$t->signal('KILL', $super);

ok($t->waituntil(sub {
    my $st = $t->status;
    return $st->{supervisor}{pid} && $st->{supervisor}{pid} != $super
        && $st->{ready};
}), 'another layout: both workers see the new file') for 1 .. 2;

ok($t->waituntil(sub { !grep { $_->{supervisor}{pid} == $super }
    map { $t->status } 1 .. 10 }), 'another layout: they keep to it');
is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
isnt((stat $file)[1], $st[1], 'another file');
is((stat $file)[7], $size, 'its size');
is(scalar($t->read_log(qr/\[warn\].*not a status file of this version/)), 1,
    'it is said');
ok(!-e "$file.new", 'no temporary file');


sub peek {
    my ($at, $size) = @_;

    open my $f, '<', $file or die "open($file) failed: $!\n";
    sysseek $f, $at, 0;
    sysread $f, my ($text), $size;

    return $text;
}


sub poke {
    my ($at, @value) = @_;

    open my $f, '+<', $file or die "open($file) failed: $!\n";
    sysseek $f, $at, 0;
    syswrite $f, pack $value[0], $value[1];
}


# of a record: counter, padding, two copies

sub half {
    my ($at, $size) = @_;

    die "no record\n" if $at < $head || $size < 16;

    my $seq = unpack 'V', peek($at, 4);
    poke($at + 8 + ($seq & 1 ? 0 : $size), 'a*', "\xff" x $size);
}
