#!/usr/bin/perl

# The replica is ahead of the database that is here: an old snapshot of the
# machine, or a copy that was brought along.  It is served, but it is not
# replicated, since that would replace a newer backup.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(35);

my $dir = $t->testdir;

$t->write_file_expand('nginx.conf', <<'EOC');

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

EOC

my $url = "file://$dir/replica/app";
my $db = $t->db('app', rows => 10);

$t->db_dir('replica');

# the machine goes back to an older snapshot of itself

$db->replicate($url);

my $old = $db->txid($url);

keep('old');

for (1 .. 3) {
    $db->insert(1);
    $db->replicate($url);
}

my $new = $db->txid($url);

cmp_ok($new, 'gt', $old, 'the replica has gone on');

put('old');
is($db->count, 10, 'the database has not');

my $replica = $t->tree("$dir/replica");

conflict('snapshot', $old, 10);

# a copy without Litestream's directory

$t->command('rm', '-rf', $db->meta);

conflict('copy', '0' x 16, 11);

# still so at the next start

conflict('again', '0' x 16, 12);

# the first remedy of the message

mkdir "$dir/away";
rename $_, "$dir/away/" . s!.*/!!r for grep { -e } $db->files;

$t->run();

is($db->count, 13, 'moved away: the backup is here');
is($t->waitforstate('app', 'replicating'), 'replicating',
    'moved away: replicating');

$db->insert(1);

ok($t->waituntil(sub { $db->restore_count($url) == 14 }),
    'moved away: it goes on');
ok($t->stop(), 'stop');

# the second

$t->command('rm', '-rf', $db->meta);
$t->write_file_expand('nginx.conf',
    $t->read_file('nginx.conf') =~ s!/replica;!/other;!r);
$t->db_dir('other');
$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating',
    'an empty replica: replicating');
ok($t->waituntil(sub { $db->restore_count("file://$dir/other/app") == 14 }),
    'an empty replica: a backup');


sub keep { $t->command('cp', '-a', $db->dir, "$dir/$_[0]") }


sub put {
    $t->command('rm', '-rf', $db->dir);
    $t->command('cp', '-a', "$dir/$_[0]", $db->dir);
}


sub conflict {
    my ($name, $local, $rows) = @_;

    my ($rc, $err) = $t->try_run();

    is($rc, 0, "$name: nginx starts") or diag($err);
    is($t->waitforstate('app', 'error'), 'error', "$name: state");

    my $why = $t->database('app')->{error};

    like($why, qr/not replicated.*\Q$url\E.*ahead.*$new.*$local/,
        "$name: both transactions");
    is(response(http_get('/litestream/ready'))->{status}, 200, "$name: ready");
    is(response(http_get('/litestream/ready?replicating=1'))->{status}, 503,
        "$name: not replicating");

    like(response(http_post('/litestream/verify/app'))->{body},
        qr/"error":"not replicated: replica /, "$name: not verified");

    # it is written to

    is($db->insert(1), $rows + 1, "$name: it is used");

    ok($t->stop(), "$name: stop");
    is_deeply($t->tree("$dir/replica"), $replica,
        "$name: the replica is untouched");
}
