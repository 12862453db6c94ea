#!/usr/bin/perl

# A database that is present never waits for the storage: nginx starts, the
# database is ready, and its state tells why it is not replicated.  When the
# storage is back it is replicated without anybody's help.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(22);

my $dir = $t->testdir;

$t->fake();

$t->write_file_expand('nginx.conf', <<'EOC');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_restore  blocking timeout=1s;
    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOC

my $replica = $t->db_dir('replica') . '/app';
my $db = $t->db('app', rows => 3);

$db->replicate("file://$replica");

my $txid = $db->txid("file://$replica");

# it cannot be read

chmod 0000, $replica;

away('denied', qr/permission denied/, sub { chmod 0755, $replica });

# it says nothing at all

$t->fake_mode('ltx: hang');

away('silent', qr/no answer within the timeout/, sub { $t->fake_mode() });


sub away {
    my ($name, $why, $back) = @_;

    my $begin = $t->now;
    my ($rc, $err) = $t->try_run();

    is($rc, 0, "$name: nginx starts") or diag($err);
    cmp_ok($t->now - $begin, '<', $t->ceiling(2),
        "$name: without waiting for it");
    is(response(http_get('/litestream/ready'))->{status}, 200, "$name: ready");
    is($t->waitforstate('app', 'error'), 'error', "$name: state");
    like($t->database('app')->{error}, $why, "$name: why");
    is(response(http_get('/litestream/ready'))->{status}, 200,
        "$name: still ready");

    # written to meanwhile

    my $n = $db->insert(1);

    is(scalar(my @pids = $t->litestream_pids), 0,
        "$name: nothing replicates");

    $back->();

    is($t->waitforstate('app', 'replicating', 40), 'replicating',
        "$name: then it is replicated");
    ok($t->waituntil(sub { $db->restore_count("file://$replica") == $n }),
        "$name: all of it");
    is($t->database('app')->{error}, undef, "$name: no error any more");

    ok($t->stop(), "$name: stop");
}
