#!/usr/bin/perl

# POST verify: a row is written, synced, restored to a private copy and found
# there, each time with a new transaction, under load too; then nothing of it
# is left: no table, no row, no file, and the WAL is kept.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(18);

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

my $db = $t->db('app', rows => 7, size => 200000);
my $url = 'file://' . $t->db_dir('replica') . '/app';

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

my $schema = $db->sql('SELECT * FROM sqlite_master;');
my $files = files();
my $runs = runs();

like($schema, qr/_litestream_seq/, 'Litestream has made its tables');
like($files, qr/^db\.sqlite3-wal$/m, 'there is a WAL');
is($runs, 'litestream.sock', 'there is a control socket and nothing else');

# twenty in a row while others write

my $writer = $db->writer(rate => 150);

ok($writer->wait(10), 'writer');

my (@status, @error, @bad, @txid);

for (1 .. 20) {
    my $r = response(http_post('/litestream/verify/app'));
    my $v = json($r->{body});
    my $ms = 0;

    $ms += $v->{steps}{$_} // -1e6
        for qw/ write_ms sync_ms restore_ms check_ms /;

    push @status, $r->{status};
    push @error, $v->{error} if defined $v->{error};
    push @txid, $v->{txid};
    push @bad, $r->{body} unless $v->{verified} && $v->{alias} eq 'app'
        && $v->{mode} eq 'quick' && $ms >= 0 && $ms <= $v->{duration_ms} + 4;
}

my @acked = $writer->stop;

cmp_ok(scalar @acked, '>', 30, 'the writer wrote');
is("@status", join(' ', (200) x 20), 'twenty times 200');
is("@error", '', 'no error');
is("@bad", '', 'verified, with the time of each step');
is(join(' ', grep { $txid[$_] le $txid[$_ - 1] } 1 .. 19), '',
    'each with a newer transaction') or diag("@txid");

# what is left

is($db->sql('SELECT * FROM sqlite_master;'), $schema, 'schema as before');
is(files(), $files, 'the same files beside the database');
is(runs(), $runs, 'no copy left');
cmp_ok(-s $db->path . '-wal', '>', 0, 'the WAL is kept');
is($db->integrity, 'ok', 'integrity');
is(join(' ', $writer->lost($db)), '', 'no commit of the writer lost');
is(join(' ', grep { $t->read_file($_) =~ /\[debug\]/ } glob($db->path . '*')),
    '', 'nothing but the database in its files');

$t->api('sync/app', method => 'POST', body => '');

is($db->restore_count($url, where => $writer->where), @acked,
    'all of them are in the replica');


sub files {
    opendir my $d, $db->dir or die "opendir() failed: $!\n";
    return join "\n", sort grep { !/^\.\.?$/ } readdir $d;
}


sub runs {
    return join "\n", map { s!.*/!!r } grep { !m!/\.\.?$! }
        glob("$dir/s/*/run/* $dir/s/*/run/.*");
}
