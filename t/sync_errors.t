#!/usr/bin/perl

# POST sync never says synced when it is not so: a database that was deleted
# or replaced, one that is not replicated, a replica that cannot be written, a
# Litestream that is not there or does not answer.  Each answer is in time and
# has its reason.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(28);

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
    litestream_db       other %%TESTDIR%%/other/db.sqlite3;
    litestream_db       later %%TESTDIR%%/later/db.sqlite3;
    litestream_db       old %%TESTDIR%%/old/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

my $db = $t->db('app', rows => 7);
my $other = $t->db('other', rows => 7);
my $old = $t->db('old', rows => 7);

$t->db_dir($_) for qw/ later replica /;

my ($rc, $out, $err) = $t->as_user($old->user, $t->litestream, 'replicate',
    '-once', $old->path, "file://$dir/replica/old");
is($rc, 0, 'a replica') or diag($err);

$old->remove();
Test::Litestream::DB->make($old->path, rows => 1);

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
is($t->waitforstate('other', 'replicating'), 'replicating', 'another one');
is($t->waitforstate('later', 'new'), 'new', 'a new one');
is($t->waitforstate('old', 'error'), 'error', 'one older than its replica');

# not replicated: at once

my $r = post('old');

is($r->{status}, 503, 'not replicated');
like($r->{error}, qr/not replicated: .* is ahead of the database/, 'why');
cmp_ok($r->{took}, '<', 5, 'at once');

# not there yet: may come

$r = post('later', '500ms');

is($r->{status}, 503, 'not there yet');
cmp_ok($r->{took}, '>', 0.2, 'it was waited for');

# a replica that cannot be written

my $replica = "$dir/replica/other";
my @dirs = ($replica, glob("$replica/*"), glob("$replica/ltx/*"));

chmod 0500, @dirs;
$other->insert();
$r = post('other', '1s');

like("$r->{status} $r->{error}", qr/^503 .*permission denied/,
    'a replica that cannot be written');

chmod 0700, @dirs;

is(post('other', '10s')->{status}, 200, 'it can again');

# a Litestream that does not answer; it is started anew for databases that
# were looked at too late for the first start

ok($t->waituntil(sub {
    3 == @{ ($t->control('/list') || {})->{databases} || [] };
}), 'Litestream has all that it may have');

my ($pid) = $t->litestream_pids;

$t->signal('STOP', $pid);
$r = post('app', '1s');
$t->signal('CONT', $pid);

is($r->{status}, 504, 'Litestream does not answer');
like($r->{error}, qr/in time/, 'why');
cmp_ok($r->{took}, '<', 4, 'in time');
is(post('app', '20s')->{status}, 200, 'it answers again');

# killed under the call: asked again, the one who waits sees nothing

$t->signal('STOP', $pid);

my $call = http_post('/litestream/sync/app?timeout=20s', '', start => 1);

select undef, undef, undef, 0.1;
$t->signal('KILL', $pid);

is(response(http_end($call))->{status}, 200, 'Litestream killed');
isnt(($t->litestream_pids)[0], $pid, 'a new one has answered');

# deleted

unlink $db->files;
$r = post('app');

is($r->{status}, 503, 'deleted');
like($r->{error}, qr/deleted|missing/, 'why');
cmp_ok($r->{took}, '<', 5, 'at once');

is($t->waitforstate('app', 'error'), 'error', 'its state');

$r = post('app');

is($r->{status}, 503, 'deleted, once more');
like($r->{error}, qr/deleted|missing/, 'why');

# replaced, by one that does not continue the backup

my $copy = $other->restore("file://$dir/replica/other");

Test::Litestream::DB->make("$dir/other/new", rows => 2);
unlink map { $other->path . $_ } '-wal', '-shm';
rename "$dir/other/new", $other->path or die "rename() failed: $!\n";

$r = post('other', '1s');

is($r->{status}, 503, 'replaced');
like($r->{error}, qr/\w/, 'why');

is($copy->count, 8, 'the backup is as it was');


# { status, error, took }

sub post {
    my ($alias, $timeout) = @_;

    my $begin = $t->now;
    my $uri = "/litestream/sync/$alias"
              . ($timeout ? "?timeout=$timeout" : '');
    my $r = response(http_post($uri));
    my $v = json($r->{body});

    return {
        status => ($r->{status} == 200) == !!$v->{synced} ? $r->{status}
            : "$r->{status}, synced is $v->{synced}",
        error => $v->{error} // '',
        took => $t->now - $begin,
    };
}
