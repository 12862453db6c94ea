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
use Test::Litestream::Storage;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(21);

my $dir = $t->testdir;

my $storage = Test::Litestream::Storage->new($t);

$t->write_file_expand('nginx.conf', <<'EOC');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_restore  blocking timeout=60s;
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

# it cannot be read

chmod 0000, $replica;

away('denied');
is($t->waitforstate('app', 'error'), 'error', 'denied: state');
like($t->database('app')->{error}, qr/permission denied/, 'denied: why');
chmod 0755, $replica;
back('denied');

# it says nothing at all, and then that it has gone

$storage->mode("hang $replica/");

away('silent');
is($t->waitforstate('app', 'checking'), 'checking', 'silent: state');
is($t->database('app')->{error}, undef, 'silent: nothing is known');
chmod 0000, $replica;
$storage->mode();
ok($t->waituntil(sub {
    ($t->database('app')->{error} // '') =~ /permission denied/
}, 20), 'silent: why');
chmod 0755, $replica;
back('silent');


sub away {
    my ($name) = @_;

    my $begin = $t->now;
    my ($rc, $err) = $t->try_run(env => $storage->env);

    is($rc, 0, "$name: nginx starts") or diag($err);
    cmp_ok($t->now - $begin, '<', $t->ceiling(30),
        "$name: without waiting for it");
    is(response(http_get('/litestream/ready'))->{status}, 200, "$name: ready");
}


sub back {
    my ($name) = @_;

    is(response(http_get('/litestream/ready'))->{status}, 200,
        "$name: still ready");

    # written to meanwhile

    my $n = $db->insert(1);

    is($t->waitforstate('app', 'replicating', 40), 'replicating',
        "$name: then it is replicated");
    ok($t->waituntil(sub { $db->restore_count("file://$replica") == $n }),
        "$name: all of it");
    is($t->database('app')->{error}, undef, "$name: no error any more");

    ok($t->stop(), "$name: stop");
}
