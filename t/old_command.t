#!/usr/bin/perl

# nginx-litestream where nginx runs Litestream 0.3.13: what it has of its own,
# and what 0.5 alone has.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::CLI;
use Test::Litestream::DB;

my $t = Test::Litestream->new()->has(qw/http/)->old()
    ->has_daemon(qw/litestream sqlite3/)->plan(21);

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

my $db = $t->db('app', rows => 3);
$t->db_dir('replica');
$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

$db->insert(2);

like(run('sync', 'app'), qr/^0 app: synced, \d+ ms\n$/, 'sync');
like(run('verify', 'app'), qr/^0 app: verified, \d+ ms\n$/, 'verify');
like(run('verify', '-mode', 'full', 'app'),
    qr/^1 .*mode=full needs Litestream 0\.5, this is 0\.3\.13\n$/,
    'verify in full');
like(run('version'), qr/^litestream 0\.3\.13$/m, 'version');
like(run('status'), qr/version 0\.3\.13\n.*\napp +replicating /s, 'status');
is(run('wait', 'app'), '0 ', 'wait');

# what it has of its own

like(run('databases'), qr!^0 .*\napp +\S+/app/db.sqlite3 +file://!,
    'databases');
like(run('generations', 'app'), qr/^0 name .*\nfile +[0-9a-f]{16} /,
    'generations');
like(run('snapshots', 'app'), qr/^0 replica .*\nfile +[0-9a-f]{16} +0 /,
    'snapshots');
like(run('wal', 'app'), qr/^0 replica .*\nfile +[0-9a-f]{16} +0 +0 /, 'wal');

# a copy, beside the database, whose user makes it

my $copy = $db->path . '-copy';

like(run('restore', '-o', $copy, 'app'), qr/^0 /, 'restore');
is(Test::Litestream::DB->new($copy)->count, 5, 'restore: rows');
is(join(' ', grep { /tmp/ } $db->beside), '', 'restore: nothing beside it');

# what it does not have

like(run('ltx', 'app'), qr/^1 .*"app": Litestream 0\.3 has no LTX files/,
    'ltx');
like(run('reset', 'app'), qr/^1 .*"app": Litestream 0\.3 has no reset/,
    'reset');
like(run('snapshots', '-json', 'app'), qr/^1 .*0\.3 writes no JSON/s,
    'snapshots in JSON');

# its configuration, as it is

my $yml = run('config');

like($yml, qr/^  replicas:\n  - type: file$/m, 'config');

my $r = response(http_get('/litestream/config'));

like($r->{body}, qr/^  replicas:\n  - type: file$/m, 'GET config');
unlike($r->{body}, qr/socket|replica:/, 'GET config: of this Litestream alone');
ok($t->quit(), 'quit');


# exit code and what it says

sub run {
    my ($rc, $out, $err) = cli($t, @_);
    return "$rc $out$err";
}
