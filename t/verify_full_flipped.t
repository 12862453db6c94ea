#!/usr/bin/perl

# POST verify?mode=full is false, with the reason, when one byte of a file that
# the replica restores from is another one, wherever it is: in the header, in a
# page, in the checksum; and true again when it is put right.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(23);

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
            litestream_api  write=on;
        }
    }
}

EOF

my $db = $t->db('app', rows => 500, size => 300000);

$t->db_dir('replica');
$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
ok($t->waituntil(sub { glob "$dir/replica/app/ltx/9/*.ltx" }), 'a snapshot');

my $r = verify();

is("$r->{status} $r->{verified}", '200 1', 'before') or diag($r->{error});

# the snapshot is what every restore begins with, be it the one of level 9 or
# the first transaction, which is one as well

my $wrong = qr/replica cannot be restored: /;

for (
    ['the header', 20],
    ['a page', (-s (snapshots())[0]) >> 1],
    ['the checksum of the pages', -16],
    ['the checksum of the file', -1])
{
    my ($name, $at) = @$_;

    flip($_, $at) for snapshots();
    $r = verify();

    is("$r->{status} $r->{verified}", '503 0', $name);
    like($r->{error}, $wrong, "$name: why");
    is(join(' ', grep { defined $r->{steps}{$_} } qw/ check_ms /), '',
        "$name: there was nothing to look at");

    flip($_, $at) for snapshots();
    $r = verify();

    is("$r->{status} $r->{verified}", '200 1', "$name: put right")
        or diag($r->{error});
}

# GET verify has it

flip($_, 20) for snapshots();
verify();
$r = $t->api('verify/app');

is("$r->{verified} $r->{mode}", '0 full', 'GET verify');
like($r->{error}, $wrong, 'GET verify: why');
like($t->api('ready?verified=1d')->{databases}{app},
    qr/^verification failed: .*$wrong/, 'ready');
ok((grep { /\[error\].*"app" was not verified: / } $t->read_log(qr/$wrong/)),
    'the log');


sub verify {
    my $r = response(http_post('/litestream/verify/app?mode=full'));
    return { %{ json($r->{body}) }, status => $r->{status} };
}


sub snapshots {
    return glob "$dir/replica/app/ltx/*/0000000000000001-*.ltx";
}


# a byte from the beginning or the end, as a disk may do it: the times stay

sub flip {
    my ($file, $at) = @_;

    my @st = stat $file;

    open my $f, '+<', $file or die "open($file) failed: $!\n";
    binmode $f;
    seek $f, $at, $at < 0 ? 2 : 0;
    read $f, my $byte, 1;
    seek $f, $at, $at < 0 ? 2 : 0;
    print $f $byte ^ "\x10";
    close $f or die "close($file) failed: $!\n";

    utime @st[8, 9], $file;
}
