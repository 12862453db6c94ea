#!/usr/bin/perl

# POST restore when Litestream has made larger files of those of single
# transactions: what can still be restored is, at every moment the newest state
# that is not younger; a transaction that has gone into a larger file is named
# together with those beside it.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

use POSIX qw/ strftime /;
use Time::HiRes qw//;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(9);

my $dir = $t->testdir;

$t->write_file('base.yml', <<'EOF');
levels:
  - interval: 1s
l0-retention: 1s
l0-retention-check-interval: 1s
EOF

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_base_config  %%TESTDIR%%/base.yml;

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

my $db = $t->db('app', rows => 3);

$t->db_dir('replica');
$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

my @moments;

for my $n (1 .. 30) {
    $db->insert(1, $n);

    my $r = $t->api('sync/app', method => 'POST', body => '');

    select undef, undef, undef, 0.05;
    push @moments, { n => $n, txid => $r->{txid}, at => now() };
    select undef, undef, undef, 0.05;
}

# until only the newest ones are single

ok($t->waituntil(sub { ltx(0) <= 2 && ltx(1) >= 2 }, 30),
    'larger files were made');

my @larger = grep { $_->[0] ne $_->[1] } ltx(1);

cmp_ok(scalar @larger, '>', 0, 'of several transactions');

# those in the middle of one are gone

my ($min, $max) = @{ $larger[0] };
my ($gone) = grep { $_->{txid} ge $min && $_->{txid} lt $max } @moments;

my $r = restore(qq({"txid":"$gone->{txid}"}));

is("$r->{status} $r->{restored}", '404 0', 'in the middle');
like($r->{error}, qr/^transaction $gone->{txid} .* by itself .*\b$max$/,
    'in the middle: why');

# its end

$r = restore(qq({"txid":"$max"}));
is("$r->{status} $r->{txid}", "200 $max", 'the end');

# each moment: what was there then, or a little less; before the first larger
# file there is nothing any more

my ($begin, @bad, @there);

for my $m (@moments[3, 8, 13, 18, 23, 29]) {
    $r = restore(qq({"timestamp":"$m->{at}"}));

    if ($r->{status} == 404 && !@there) {
        ($begin) = $r->{error} =~ /: it begins at (\S+)$/;
        push @bad, $r->{error} unless defined $begin && $begin gt $m->{at};
        next;
    }

    push @there, $m->{n};

    unless ($r->{status} == 200) {
        push @bad, "$m->{n}: $r->{error}";
        next;
    }

    my $n = Test::Litestream::DB->new($r->{file})
        ->sql('SELECT max(CAST(v AS INTEGER)) FROM t;');
    my ($then) = map { $_->{n} }
        (grep { $_->{txid} le $r->{txid} } @moments)[-1];

    push @bad, "$m->{n}: $n is younger" if $n > $m->{n};
    push @bad, "$m->{n}: $n, not $then" if $n != $then;
}

cmp_ok(scalar @there, '>=', 3, 'moments that can be restored');
is(join("\n", @bad), '', 'each with its state, none with a younger one');
is($r->{txid}, $moments[29]{txid}, 'the last one is whole');


sub restore {
    my ($body) = @_;
    my $r = response(http_post('/litestream/restore/app', $body));
    return { %{ json($r->{body}) }, status => $r->{status} };
}


# [ first, last ] of the files of a level

sub ltx {
    my ($level) = @_;
    return map { m!/([0-9a-f]{16})-([0-9a-f]{16})\.ltx$! ? [ $1, $2 ] : () }
        sort glob "$dir/replica/app/ltx/$level/*.ltx";
}


sub now {
    my $now = Time::HiRes::time();
    return strftime('%Y-%m-%dT%H:%M:%S', gmtime $now)
        . sprintf '.%03dZ', 1000 * ($now - int $now);
}
