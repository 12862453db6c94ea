#!/usr/bin/perl

# nginx-litestream validate, and verify -mode full: what the endpoint answers;
# one byte that was changed behind Litestream's back is a failure, which a quick
# verification does not see.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::CLI;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(15 - ($> && 1));

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

my $db = $t->db('app', rows => 300);

$db->insert(1, 'row-mark');
$t->db_dir('replica');

is((cli($t, 'validate'))[0], 3, 'before any nginx');

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
ok($t->waituntil(sub { glob "$dir/replica/app/ltx/9/*.ltx" }), 'a snapshot');

my ($rc, $out, $err) = cli($t, 'validate', 'app');

is("$rc$err", '0', 'exit code');
like($out, qr/^app: verified in full, transaction [0-9a-f]{16}, \d+ ms\n\z/,
    'in full');

($rc, $out, $err) = cli($t, 'verify', '-mode', 'full', '-json', 'app');

is("$rc$err", '0', 'JSON: exit code');
is(text($out), text(response(http_post('/litestream/verify/app?mode=full'))
    ->{body}), 'JSON: as the endpoint');

# one byte

patch('row-mark', 'row-Mark');

is((cli($t, 'verify', 'app'))[0], 0, 'changed: quick');

($rc, $out, $err) = cli($t, 'validate', 'app');

is("$rc$out", '1', 'changed: exit code');
like($err, qr/^nginx-litestream:\ database\ "app":\ not\ verified:
    \ the\ restored\ copy\ differs\ from\ the\ database\ .*\ of\ "t"\n\z/x,
    'changed: why');

($rc, $out) = cli($t, 'validate', '-json', 'app');
is(join(' ', map { json($out)->{$_} } qw/ verified mode /), '0 full',
    'changed: JSON');

patch('row-Mark', 'row-mark');

is((cli($t, 'validate', 'app'))[0], 0, 'put right');

# who may, and for how long

if ($> == 0) {
    is((cli($t, { user => 12345 }, 'validate'))[2], 'nginx-litestream: user 12345 '
        . "may not ask the supervisor: run this as root, or as the user of nginx's "
        . "workers\n", 'somebody else');
}

is((cli($t, 'validate', '-t', '0', 'app'))[0], 2, 'no time at all');
is((cli($t, 'validate', 'no'))[0], 2, 'unknown');


sub text { return $_[0] =~ s/:\d+/:N/gr =~ s/"[0-9a-f]{16}"/TXID/gr
    =~ s/\s+\z//r }


sub patch {
    my ($from, $to) = @_;

    my $path = $db->path;

    open my $f, '+<', $path or die "open($path) failed: $!\n";
    binmode $f;

    my $data = do { local $/; <$f> };
    my $at = index $data, $from;

    die "no $from in $path\n" if $at == -1;

    seek $f, $at, 0;
    print $f $to;
    close $f or die "close($path) failed: $!\n";
}
