#!/usr/bin/perl

# Litestream connects to all its SFTP servers when it starts, and ends as a
# whole when one of them is away, or waits for ever when it hangs.  The
# database of that one is left out, with the reason; the others replicate.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::SSH;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3 ssh-keygen/)->plan(30);

my %ssh = map { $_ => Test::Litestream::SSH->new($t) } qw/ app other third /;
my %db = map { $_ => $t->db($_, rows => 3) } keys %ssh;

my $servers = join "\n", map { server($_) } sort keys %ssh;

$t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_restore           blocking timeout=8s;
    litestream_shutdown_timeout  10s;

$servers
    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api write=on db=app,other,third;
        }
    }
}

EOF

# one is away

$ssh{$_}->start() for qw/ app other /;

$t->run();

is($t->waitforstate($_, 'replicating'), 'replicating', "$_: replicating")
    for qw/ app other /;
is($t->waitforstate('third', 'error'), 'error', 'third: away');
is(scalar(() = $t->litestream_pids), 1, 'one Litestream');

# it comes when another one has gone, of which Litestream knows nothing yet: it
# is started with all three, and ends

my $lag = 0;
my $mark = $t->log_mark;

$ssh{other}->stop();
$db{other}->insert(2);
$ssh{third}->start();

my $gone = qr/dial tcp \S+: connect: connection refused/;

ok($t->waituntil(sub {
    my %st = map { $_->{alias} => $_ } @{ $t->status->{databases} };

    $lag = $st{app}{lag_seconds} if $st{app}{lag_seconds} > $lag;

    return $st{third}{state} eq 'replicating'
        && $st{app}{state} eq 'replicating' && $st{app}{lag_seconds} < 1
        && $st{other}{state} eq 'error';
}, 40), 'the others replicate') or diag(explain($t->status));

cmp_ok($lag, '<', $t->ceiling(15), 'they did not have to wait for long');
like($t->database('other')->{error}, qr/^not replicated: replica .*$gone/,
    'the reason');

my @exits = $t->read_log(qr/litestream process \d+ .* exited with code 1/,
    $mark);

is(scalar @exits, 1, 'it has ended once');
like($exits[0] // '', qr/initialize replica client for "[^"]+other.*$gone/,
    'what of');

$db{$_}->insert(1) for qw/ app third /;

is(synced($_), 1, "$_: synced") for qw/ app third /;

# it is left out until it is back

ok($t->waituntil(sub { $t->status->{ready} }, 5), 'ready');
is($t->database('other')->{state}, 'error', 'other: error');

$ssh{other}->start();

is($t->waitforstate('other', 'replicating', 60), 'replicating', 'other: back');
is(synced('other'), 1, 'other: synced');
is($t->waitforstate($_, 'replicating', 10), 'replicating', "$_: replicating")
    for qw/ app third /;

is($ssh{$_}->restore_count($_), $db{$_}->count, "$_: all rows are there")
    for sort keys %ssh;

# one hangs when Litestream is started again

$ssh{other}->signal('STOP');
kill 'KILL', $t->litestream_pids;

my $from = $t->now;

like($t->waitforstate('app', 'starting|checking', 10), qr/starting|checking/,
    'killed: app is to be started');
is($t->waitforstate('app', 'replicating', 25), 'replicating',
    'killed: app replicates again');
cmp_ok($t->now - $from, '<', $t->ceiling(12), 'killed: in seconds');
is($t->waitforstate('other', 'error', 20), 'error', 'hangs: error');
like($t->database('other')->{error}, qr/takes connections, but has not answer/,
    'hangs: the reason');

$db{$_}->insert(1) for qw/ app other /;
is(synced('app'), 1, 'hangs: app is synced');

$ssh{other}->signal('CONT');

is($t->waitforstate('other', 'replicating', 60), 'replicating', 'goes on');
is(synced($_), 1, "$_: synced at last") for qw/ app other /;
is($ssh{other}->restore_count('other'), $db{other}->count,
    'all rows are there at last');


sub server {
    my ($name) = @_;

    my $ssh = $ssh{$name};

    return <<"EOF";
    server {
        listen              127.0.0.1:8081;
        server_name         $name;
        litestream_replica  sftp://${\ $ssh->user }\@${\ $ssh->addr }${\
                            $ssh->path('') } key_path=${\ $ssh->key_path }
                            "host_key=${\ $ssh->host_key }";
        litestream_db       $name %%TESTDIR%%/$name/db.sqlite3;
    }
EOF
}


sub synced {
    my ($name) = @_;
    return $t->api("sync/$name?timeout=20s", method => 'POST')->{synced}
        ? 1 : 0;
}
