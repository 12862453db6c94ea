#!/usr/bin/perl

# Another replica for a database that was replicated elsewhere: Litestream has
# removed the files that it would begin with.  The status says so and what to
# do; the old replica is found again when nothing was done.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::CLI;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(18);

my $dir = $t->testdir;
my $db = $t->db('app', rows => 3);

$t->db_dir($_) for qw/ one two /;

# one that was restored, as after years: its first transactions are not there

conf('one');
$t->run();
is($t->waitforstate('app', 'replicating'), 'replicating', 'replicated');
is($db->insert(1), 4, 'a row');
is(synced(), 1, 'a row: synced');
$t->stop();

$db->remove();
$t->run();
is($t->waitforstate('app', 'replicating'), 'replicating', 'restored');
is($db->insert(1), 5, 'restored: a row');
is(synced(), 1, 'restored: synced');
$t->stop();

# another replica

conf('two');
$t->run();

is($t->waitforstate('app', 'error'), 'error', 'another replica: error');
like($t->database('app')->{error}, qr!replica\ "file://$dir/two/app"\ is\ empty,
    .*replicated\ elsewhere,\ up\ to\ transaction\ [0-9a-f]{16}
    .*stop\ nginx,\ run\ "nginx-litestream\ reset\ app"!x,
    'another replica: what to do');
is($t->api('ready')->{ready} ? 1 : 0, 1, 'another replica: ready');
is(join('', glob "$dir/two/*"), '', 'another replica: nothing is there');

$t->stop();

# the old one again: a slip of the pen

conf('one');
$t->run();
is($t->waitforstate('app', 'replicating'), 'replicating', 'the old one again');
is($db->insert(1), 6, 'the old one: a row');
is(synced(), 1, 'the old one: synced');
is($db->restore_count("file://$dir/one/app"), 6, 'the old one goes on');
$t->stop();

# it was meant

conf('two');
is((cli($t, 'reset', 'app'))[0], 0, 'reset');
$t->run();
is($t->waitforstate('app', 'replicating'), 'replicating', 'after a reset');
is(synced(), 1, 'after a reset: synced');
is($db->restore_count("file://$dir/two/app"), 6,
    'after a reset: all rows are in the new replica');


sub synced {
    return $t->api('sync/app', method => 'POST')->{synced} ? 1 : 0;
}


sub conf {
    my ($replica) = @_;

    $t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/$replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api write=on;
        }
    }
}

EOF
}
