#!/usr/bin/perl

# nginx-litestream with a status file that is not one, of another version, cut
# short, a link, a pipe, or full of anything; and with a supervisor that is
# none.  It says so in one line, hangs nowhere, and shows no control character.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use IO::Socket::UNIX;
use POSIX qw//;
use Socket qw/ SOCK_SEQPACKET SOMAXCONN /;

use Test::Litestream;
use Test::Litestream::CLI;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(41);

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

$t->db('app', rows => 3);
$t->db_dir('replica');
$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

my $file = "$dir/s/status";
my $size = -s $file;

ok($t->stop(), 'stop');

# all that counts is at the beginning, the rest is a hole: 256 groups come
# before the databases

open my $f, '<', $file or die "open($file) failed: $!\n";
sysread $f, my ($good), 1000000;
close $f;

my $alias = index $good, "app\0" . "\0" x 60;

cmp_ok($alias, '>', 1000, 'where the database is');

$t->state_path("$dir/h");
mkdir "$dir/h";
$file = "$dir/h/status";

# what is not a status file

for ([ 'empty', '', 'not a status file' ],
     [ 'text', 'x' x 100000, 'not a status file' ],
     [ 'the head alone', substr($good, 0, 24), 'damaged: it has 24 bytes' ],
     [ 'half of it', $good, 'damaged: it has \d+ bytes', $size / 2 ],
     [ 'a byte less', $good, 'damaged: it has \d+ bytes', $size - 1 ],
     [ 'a byte more', $good, 'damaged: it has \d+ bytes', $size + 1 ],
     [ 'another version', "\x6e\x74\x73\x6c\xff" . substr($good, 5),
       'has layout 255, this nginx-litestream knows layout \d+: module and '
       . 'command are of different versions' ])
{
    my ($name, $text, $why, $length) = @$_;

    put($text, $length // length $text);

    my ($rc, $out, $err) = cli($t, 'status');

    is($rc, 1, "$name: exit code");
    like($err, qr!\Anginx-litestream: "\Q$file\E" (is |)$why[^\n]*\n\z!, $name);
    is((cli($t, 'wait', '-t', '300ms', 'app'))[0], 124, "$name: wait");
    unlink $file;
}

# a link, a pipe, a directory

symlink "$dir/s/status", $file;
refused('a link', qr/Too many levels of symbolic links/);
unlink $file;

POSIX::mkfifo($file, 0666) or die "mkfifo() failed: $!\n";
refused('a pipe', qr/not a status file/);
unlink $file;

mkdir $file;
refused('a directory', qr/not a status file/);
rmdir $file;

# anything in it

srand 1;

my ($bad, $n) = ('', 0);

for my $round (1 .. 60) {
    my $text = $good;

    for (0 .. rand 200) {
        my $at = $round % 3 ? $alias - 100 + int rand 12000
            : 16 + int rand 3000;

        substr($text, $at, 4) = $round % 2 ? pack 'N', rand 2 ** 32
            : substr "\e[2J\a\xff\xff\xff\xff\x9b", rand 6, 4;
    }

    put($text, $size);

    for (["status"], ["status", "-json"], ["config"],
        ["wait", "-t", "0", "all"])
    {
        my ($rc, $out, $err) = cli($t, { ceiling => 20 }, @$_);

        $n++;
        $bad .= "@$_: $rc $out$err" if $rc !~ /^[0-3]$/
            || "$out$err" =~ /[\x00-\x09\x0b-\x1f\x7f]|Sanitizer|runtime error/
            || $_->[1] && $_->[1] eq '-json' && !eval { json($out); 1 };
    }
}

is($bad, '', "$n times anything");

# a supervisor that says nothing, too much, too little, something else

alive();

for ([ 'nothing', 124, qr/not ended in time/ ],
     [ 'the end', 124, qr/not ended in time/, '' ],
     [ 'too little', 1, qr/has 3 bytes, not \d+/, 'abc' ],
     [ 'too much', 1, qr/has 9000 bytes, not \d+/,
       pack('V', 2) . 'x' x 8996 ],
     [ 'another version', 1, qr/protocol version 7, not 2/,
       pack('V', 7) . "\0" x 100 ])
{
    my ($name, $code, $why, $text) = @$_;

    unlink "$dir/h/supervisor.sock";

    my $listen = IO::Socket::UNIX->new(Type => SOCK_SEQPACKET,
        Local => "$dir/h/supervisor.sock", Listen => 5)
        or die "no socket: $!\n";

    my $pid = $t->run_daemon(sub {
        my @keep;

        while (my $s = $listen->accept) {
            push @keep, $s unless defined $text;
            $s->send($text) if defined $text && $text ne '';
            push @keep, $s if defined $text && $text ne '';
        }
    });

    alive();

    my ($rc, $out, $err) = cli($t, { ceiling => 20 }, 'sync', '-t', '1s',
        'app');

    is($rc, $code, "$name: exit code");
    like($err, $why, $name);
    $t->stop_daemon($pid);
}


sub refused {
    my ($name, $why) = @_;

    my ($rc, $out, $err) = cli($t, { ceiling => 5 }, 'status');

    is($rc, 1, "$name: exit code");
    like($err, $why, "$name");
}


# its heartbeat is of now, and it has not taken leave: both copies of the record
# behind the head of the file

sub alive {
    my $text = $good;
    my $ms = int(Time::HiRes::time() * 1000);

    for my $copy (0, 1) {
        my $at = 24 + 8 + $copy * 112;

        substr($text, $at, 4) = pack 'l', $$;
        substr($text, $at + 8, 8) = pack 'q', $ms;
        substr($text, $at + 36, 4) = pack 'L', 0;
    }

    put($text, $size);
}


sub put {
    my ($text, $length) = @_;

    $t->write_file('h/status', $text);
    truncate $file, $length or die "truncate($file) failed: $!\n";
}
