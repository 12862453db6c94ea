#!/usr/bin/perl

# POST sync answers when all that was committed before the call is in the
# replica: a restore right after the answer proves it, call by call, also
# while others write.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(15);

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;

    # nothing is synced but by what is asked for

    litestream_db       app %%TESTDIR%%/app/db.sqlite3 sync_interval=1h;
    litestream_db       later %%TESTDIR%%/later/db.sqlite3 sync_interval=1h;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

my $dir = $t->testdir;
my $db = $t->db('app', rows => 7);
my $url = 'file://' . $t->db_dir('replica') . '/app';

$t->db_dir('later');
$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

my ($status, $v) = post('app');

is($status, 200, 'sync');
is(join(' ', sort keys %$v), 'alias duration_ms error synced txid', 'members');
is("$v->{alias} $v->{synced}", 'app 1', 'synced');
like($v->{txid}, qr/^[0-9a-f]{16}$/, 'txid');
like($v->{duration_ms}, qr/^\d+$/, 'duration');
is($v->{error}, undef, 'no error');

# one commit, one sync, one restore

my (@lost, @old);
my $last = $v->{txid};

for my $n (1 .. 10) {
    $db->insert(1, "single-$n");

    ($status, $v) = post('app');

    push @old, $v->{txid} unless $v->{txid} gt $last;
    $last = $v->{txid};

    push @lost, $n unless $status == 200 && $v->{synced}
        && $db->restore_count($url, where => "v LIKE 'single-%'") == $n;
}

is("@lost", '', 'each commit is in the replica');
is("@old", '', 'each has a new transaction');

($status, $v) = post('app');

is("$status $v->{synced}", '200 1', 'nothing new');

# while others write: what was acknowledged before the call is there

my $writer = $db->writer(rate => 200);

$writer->wait(20);
@lost = ();

for (1 .. 8) {
    my @acked = $writer->acked;

    ($status, $v) = post('app');

    my $copy = $db->restore($url);
    push @lost, $writer->lost($copy, @acked) if $copy;
    push @lost, "status $status" unless $status == 200 && $copy;
}

$writer->stop;

is("@lost", '', 'each commit of others is in the replica');

# a database that is made while nginx runs

is($t->waitforstate('later', 'new'), 'new', 'a new one');

my $later = Test::Litestream::DB->make("$dir/later/db.sqlite3", rows => 3);

($status, $v) = post('later');

is("$status $v->{synced}", '200 1', 'the first sync of a new one');
is($later->restore_count("file://$dir/replica/later"), 3,
    'it is in the replica');
is($t->waitforstate('later', 'replicating'), 'replicating', 'its state');


sub post {
    my $r = response(http_post("/litestream/sync/$_[0]?timeout=10s"));
    return ($r->{status}, json($r->{body}));
}
