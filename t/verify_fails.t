#!/usr/bin/perl

# POST verify is false when the backup does not restore what was committed,
# and says why: files of the replica that have gone, a database that is
# missing or no database, one that is not replicated, a Litestream that is not
# running.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(32);

my $dir = $t->testdir;

$t->fake();

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       base %%TESTDIR%%/base/db.sqlite3;
    litestream_db       gap %%TESTDIR%%/gap/db.sqlite3;
    litestream_db       end %%TESTDIR%%/end/db.sqlite3;
    litestream_db       old %%TESTDIR%%/old/db.sqlite3;
    litestream_db       text %%TESTDIR%%/text/db.sqlite3;
    litestream_db       later %%TESTDIR%%/later/db.sqlite3;
    litestream_db       gone %%TESTDIR%%/gone/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOF

my %db = map { $_ => $t->db($_, rows => 3) } qw/ base gap end old gone /;

$t->db_dir($_) for qw/ replica later text /;

my $text = Test::Litestream::DB->new("$dir/text/db.sqlite3");

$t->as_user(($t->user)[0], 'sh', '-c', "echo 'no database, a text of its own"
    . " that is long enough to have a header' >" . $text->path);

$db{old}->replicate("file://$dir/replica/old");
$db{old}->remove();
Test::Litestream::DB->make($db{old}->path, rows => 1);

$t->run();

is($t->waitforstate($_, 'replicating'), 'replicating', "$_: replicating")
    for qw/ base gap end gone /;

is(verify($_)->{verified}, 1, "$_: verified") for qw/ base gap end /;

# what all begins with: the snapshot, and the first transaction

ok($t->waituntil(sub { glob "$dir/replica/base/ltx/9/*.ltx" }), 'a snapshot');

unlink glob "$dir/replica/base/ltx/*/0000000000000001-*.ltx";

my $r = verify('base');

is("$r->{status} $r->{verified}", '503 0', 'no snapshot');
like($r->{error}, qr/cannot be restored: /, 'no snapshot: why');
like($r->{txid}, qr/^[0-9a-f]{16}$/, 'no snapshot: what was to be found');
is(join(' ', map { defined $r->{steps}{$_} ? () : $_ } qw/ write_ms sync_ms
    restore_ms /), '', 'no snapshot: the steps that were reached');
is($r->{steps}{check_ms}, undef, 'no snapshot: the one that was not');

# one in the middle; more than once, since a compaction may come just then

for (1 .. 3) {
    for (1 .. 3) {
        $db{gap}->insert();
        $t->api('sync/gap', method => 'POST', body => '');
    }

    unlink((ltx('gap'))[-2]) or die "unlink() failed: $!\n";

    $r = verify('gap');
    last unless $r->{verified};
}

is("$r->{status} $r->{verified}", '503 0', 'a gap');
like($r->{error}, qr/cannot be restored: .*non-contiguous/, 'a gap: why');

# the newest, right when it is needed: older ones restore without complaint;
# more than once, since a compaction may have come just then

for (1 .. 3) {
    my $n = restores();

    $t->fake_mode('restore: sleep 400');

    my $s = http_post('/litestream/verify/end', '', start => 1);

    $t->waituntil(sub { restores() > $n });
    unlink((ltx('end'))[-1]) or die "unlink() failed: $!\n";
    $t->fake_mode();

    $r = finish(http_end($s));
    last unless $r->{verified};
}

is("$r->{status} $r->{verified}", '503 0', 'the newest has gone');
like($r->{error}, qr/out of date: the row .* $r->{txid} is not in/,
    'the newest has gone: why');

# a database that was deleted; the reason is the same once it is known

unlink $db{gone}->files;
$r = verify('gone');

is("$r->{status} $r->{verified}", '503 0', 'deleted');
like($r->{error}, qr/missing|deleted/, 'deleted: why');
is($t->waitforstate('gone', 'error'), 'error', 'deleted: its state');

$r = verify('gone');

is("$r->{status} $r->{verified}", '503 0', 'deleted, known');
like($r->{error}, qr/missing|deleted/, 'deleted, known: why');
ok(!-e $db{gone}->path, 'deleted: not made by this');

# one that is not there yet

$r = verify('later');

is("$r->{status} $r->{verified}", '503 0', 'not there yet');
like($r->{error}, qr/"$dir\/later\/db\.sqlite3" is missing/,
    'not there yet: why');

# no database, not replicated: never written

$r = verify('text');

is("$r->{status} $r->{verified}", '503 0', 'no database');
like($r->{error}, qr/"$dir\/text\/db\.sqlite3" is not a SQLite database/,
    'no database: why');

$r = verify('old');

is("$r->{status} $r->{verified}", '503 0', 'not replicated');
like($r->{error}, qr/not replicated.* is ahead/, 'not replicated: why');
is($db{old}->sql('SELECT count(*) FROM sqlite_master WHERE name LIKE '
    . "'%verification%';"), 0, 'not replicated: nothing was written');

# all of it can be seen later

my %v = map { $_->{alias} => $_->{error} // '' }
    @{ $t->api('verify')->{databases} };

is(join(' ', sort grep { $v{$_} ne '' } keys %v),
    'base end gap gone later old text', 'GET verify');
like($v{gap}, qr/non-contiguous/, 'GET verify: why');

$t->stop();


sub verify { return finish(http_post("/litestream/verify/$_[0]")) }


sub finish {
    my $r = response($_[0]);
    return { %{ json($r->{body}) }, status => $r->{status} };
}


sub restores {
    return scalar grep { $_->[2] =~ m!^restore .*/verify-end! } $t->fake_calls;
}


# files of level 0 in a replica, the oldest first

sub ltx {
    my ($alias) = @_;
    return sort glob "$dir/replica/$alias/ltx/0/*.ltx";
}
