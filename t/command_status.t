#!/usr/bin/perl

# nginx-litestream status: a table for people, with -json what GET status
# answers, for everybody who is on the machine, while nginx runs and when it
# does not.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::CLI;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(50)
    ->expect_alerts(qr/litestream supervisor process \d+ exited on signal 9/);

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
    litestream_db       later %%TESTDIR%%/later/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOF

my $db = $t->db('app', rows => 7, size => 100000);

$t->db_dir($_) for qw/ later replica /;

# before any nginx

my ($rc, $out, $err) = cli($t, 'status');

is($rc, 3, 'nothing is there: exit code');
is($out, '', 'nothing is there: stdout');
is($err, "nginx-litestream: nginx is not running: there is no "
    . "\"$dir/s/status\"\n", 'nothing is there: one line');

($rc, $out) = cli($t, 'status', '-json');

is($rc, 3, 'nothing is there: exit code with -json');
like(json($out)->{error}, qr/^nginx is not running: /,
    'nothing is there: JSON');

# all is well

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
is($t->waitforstate('later', 'new'), 'new', 'new');

my $size = sprintf '%.1fK', $db->size / 1024;

($rc, $out, $err) = cli($t, 'status');

is($rc, 0, 'exit code') or diag($out);
is($err, '', 'stderr');
like($out, qr/^supervisor ${\ $t->supervisor_pid }: up for .*, 0 restarts, /m,
    'supervisor');
like($out, qr/^litestream \S+: up, pid ${\ ($t->litestream_pids)[0] }, user /m,
    'Litestream');
like($out, qr/^ALIAS +STATE +SIZE +LAG +LAST\ SYNC +REPLICA$/m, 'columns');
like($out, qr/^app +replicating +\Q$size\E +[\d.]+s +20\S+Z +file:\S+app$/m,
    'a database');
like($out, qr/^later +new +- +- +- +file:/m, 'a new one');
unlike($out, qr/error/, 'no error');

($rc, $out) = cli($t, 'status', 'later');

is($rc, 0, 'one of them: exit code');
unlike($out, qr/^app/m, 'one of them alone');
like($out, qr/^later/m, 'one of them');

like((cli($t, 'status', "$dir/app/db.sqlite3"))[1], qr/^app /m, 'by its path');

# what the endpoint answers

same($_) for '', 'app', 'later';

$t->api('verify/app', method => 'POST', body => '');
same('app');

# a plain user

my $user = ($t->user)[0];

($rc, $out) = cli($t, { user => $user }, 'status', '-json', 'app');

is($rc, 0, 'a plain user: exit code');
is(json($out)->{databases}[0]{alias}, 'app', 'a plain user');

# one that is not there

($rc, $out, $err) = cli($t, 'status', 'app', "no\e[31m\n");

is($rc, 2, 'unknown: exit code');
is("$out$err", "nginx-litestream: unknown database \"no\\x1b[31m\\x0a\"\n",
    'unknown');

is(json((cli($t, 'status', '-json', 'no'))[1])->{error},
    json(response(http_get('/litestream/status/no'))->{body})->{error},
    'unknown: JSON as that of the endpoint');

# an error

$db->remove();
is($t->waitforstate('app', 'error'), 'error', 'deleted');

($rc, $out) = cli($t, 'status');

is($rc, 1, 'an error: exit code');
like($out, qr/^app +error .*\n    error: .*(was deleted|is missing)/m,
    'an error');
is((cli($t, 'status', 'later'))[0], 0, 'not that of another');
same('app');

# a verification that has failed: when, and once that it is not replicated

($rc, $out, $err) = cli($t, 'verify', 'app');
is($rc, 1, 'not verified: exit code');
like((cli($t, 'status', 'app'))[1], qr/^\ {4}last\ verification,
    \ [\d.]+s\ ago,\ failed:\ not\ replicated\ now:\ .*(was\ deleted|is\ missing)
    /mx, 'not verified');
unlike((cli($t, 'status', 'later'))[1], qr/verification/, 'and not another');

# the supervisor is killed: the next one, as the endpoint says

my $pid = $t->supervisor_pid;

$t->signal('KILL', $pid);
ok($t->waituntil(sub { ($t->status->{supervisor}{pid} // $pid) != $pid }),
    'killed: another supervisor');
like((cli($t, 'status'))[1], qr/, 1 restart, /, 'killed');

# nginx ends

ok($t->quit(), 'quit');

($rc, $out, $err) = cli($t, 'status');

is($rc, 3, 'down: exit code');
like($out, qr/^nginx is not running: this is what was known at 20\S+Z$/m,
    'down: it says so');
like($out, qr/^later +new /m, 'down: what was known last');

($rc, $out) = cli($t, 'status', '-json');

is($rc, 3, 'down: exit code with -json');
is(join(' ', map { $_ // 'null' } json($out)->{ready},
    @{ json($out)->{supervisor} }{qw/ state pid uptime_seconds /}),
    '0 down null null', 'down: JSON');

# nobody has taken leave

$t->db_dir('other');
$t->write_file('nginx.conf', $t->read_file('nginx.conf') =~ s!/app/!/other/!r);
$t->run();
is($t->waitforstate('later', 'new'), 'new', 'runs');
$t->signal('KILL', $t->master_pid, $t->worker_pids, $t->supervisor_pid);

ok($t->waituntil(sub { (cli($t, 'status'))[0] == 3 }, 15), 'killed, all of it');

# and what was under way has stopped

$t->run();
is($t->waitforstate('app', 'replicating'), 'replicating', 'runs again');
ok($t->quit(), 'quit again');
like((cli($t, 'status', 'app'))[1], qr/^app +stopped +\S+ +- /m, 'stopped');
is(json((cli($t, 'status', '-json', 'app'))[1])->{databases}[0]{state},
    'stopped', 'stopped: JSON');


# but for the numbers that grow

sub same {
    my ($alias) = @_;

    my $name = $alias eq '' ? 'all' : $alias;
    my ($mine, $other);

    my $ok = $t->waituntil(sub {
        my ($rc, $out) = cli($t, 'status', '-json', $alias eq '' ? () : $alias);

        $other = still(response(
            http_get("/litestream/status/$alias" =~ s!/$!!r))->{body});
        $mine = still($out);

        return $mine eq $other;
    });

    ok($ok, "-json is what the endpoint answers: $name")
        or diag("$mine\n$other");
}


sub still {
    my ($text) = @_;

    $text =~ s/"(lag_seconds|uptime_seconds)":[\d.]+/"$1":N/g;
    $text =~ s/"(last_sync_at|to)":"[^"]+"/"$1":T/g;

    return $text;
}
