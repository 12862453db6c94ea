#!/usr/bin/perl

# GET status: exactly these members with these types, before and after a
# verification, of one database and of all, with HEAD, and below the prefix.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(39);

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

my $db = $t->db('app', rows => 7);

$t->db_dir($_) for qw/ later replica /;

# patterns of texts; [ ] is any value of these; "n" and "i" are numbers, "b" a
# boolean, "0" is null

my $time = qr/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z$/;
my $txid = qr/^[0-9a-f]{16}$/;
my $text = qr/^.+$/s;

my $steps = { write_ms => 'i', sync_ms => 'i', restore_ms => 'i',
    check_ms => 'i', compare_ms => '0' };

my $verify = { alias => qr/^app$/, verified => 'b', mode => qr/^quick$/,
    txid => $txid, duration_ms => 'i', steps => $steps, error => '0',
    at => $time };

my $none = { state => qr/^none$/, bytes => '0', total_bytes => '0',
    txid => '0', duration_ms => '0', error => '0' };

my $app = {
    alias => qr/^app$/, path => qr!^$dir/app/db\.sqlite3$!,
    state => qr/^replicating$/, size => 'i', wal_size => 'i', txid => $txid,
    lag_seconds => 'n', last_sync_at => $time,
    history => { from => [ '0', $time ], to => [ '0', $time ] },
    replica => { type => qr/^file$/, url => qr!^file://$dir/replica/app$! },
    restore => $none, restored => '0', verify => '0', error => '0',
};

my $later = {
    %$app, alias => qr/^later$/, path => qr!^$dir/later/db\.sqlite3$!,
    state => qr/^new$/, size => '0', wal_size => '0', txid => '0',
    lag_seconds => '0', last_sync_at => '0',
    history => { from => '0', to => '0' },
    replica => { type => qr/^file$/, url => qr!^file://$dir/replica/later$! },
};

my $group = {
    group => qr/^\d+-file-[0-9a-f]+$/, user => qr/^${\ ($t->user)[0] }$/,
    state => qr/^up$/, version => qr/^0\.5\.\d+$/, pid => 'i',
    uptime_seconds => 'i', restarts => 'i', last_exit => '0',
};

my $all = {
    ready => 'b', module_version => qr/^\d+\.\d+\.\d+$/,
    nginx_version => qr/^\Q$t->{version}\E$/,
    supervisor => { state => qr/^up$/, pid => 'i', uptime_seconds => 'i',
        restarts => 'i' },
    litestream => [ $group ], databases => [ $app, $later ],
    directories => [],
    vfs => [],
    applications => [],
};

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
is($t->waitforstate('later', 'new'), 'new', 'new');

# all of it

my $r = get('status');

is($r->{status}, 200, 'status');
is($r->{headers}{'content-type'}, 'application/json', 'Content-Type');
is($r->{headers}{'cache-control'}, 'no-store', 'Cache-Control');
is($r->{headers}{'content-length'}, length $r->{body}, 'Content-Length');

my $st = json($r->{body});

is(wrong($st, $all), '', 'members and types') or diag($r->{body});

is($st->{ready}, 1, 'ready');
is($st->{supervisor}{pid}, $t->supervisor_pid, 'pid of the supervisor');
is($st->{litestream}[0]{pid}, ($t->litestream_pids)[0], 'pid of Litestream');
is($st->{supervisor}{restarts}, 0, 'restarts of the supervisor');
is($st->{litestream}[0]{restarts}, 0, 'restarts of Litestream');
is($st->{databases}[0]{size}, $db->size, 'size');
cmp_ok($st->{databases}[0]{lag_seconds}, '<', 5, 'lag');
ok($t->waituntil(sub {
    ($t->database('app')->{wal_size} // -1) == -s $db->path . '-wal';
}), 'size of the WAL');

# below the prefix, one database, HEAD

is(wrong(json(get('')->{body}), $all), '', 'the prefix itself');

$r = get('status/app');

is($r->{status}, 200, 'status of one');
is(wrong(json($r->{body}), { %$all, databases => [ $app ] }), '',
    'status of one: members and types') or diag($r->{body});

is(wrong(json(get('status/later')->{body}),
    { %$all, databases => [ $later ] }), '', 'status of one that is new');

is(get('status?x=y&db=no')->{status}, 200, 'arguments are not looked at');

for (qw/ status status\/app ready verify verify\/app /, '') {
    $r = response(http_head("/litestream/$_"));

    is("$r->{status} $r->{body}", '200 ', "HEAD $_");
    cmp_ok($r->{headers}{'content-length'}, '>', 10,
        "HEAD $_: Content-Length");
}

# keep-alive: what is announced is what is sent

my $raw = http_raw(join '', map { "$_ HTTP/1.1\r\nHost: localhost\r\n"
    . ($_ =~ /ready/ ? 'Connection: close' : 'X: y') . "\r\n\r\n" }
    'GET /litestream/status', 'HEAD /litestream/status',
    'POST /litestream/no', 'GET /litestream/ready');

is(join(' ', $raw->{data} =~ m!HTTP/1\.1 (\d+)!g), '200 200 404 200',
    'pipelined');
is(join(' ', $raw->{data} =~ /^\{"(\w+)/mg), 'ready error ready',
    'pipelined: the bodies');

# after a verification

$t->api('verify/app', method => 'POST', body => '');

$app->{verify} = $verify;
$app->{history} = { from => [ '0', $time ], to => [ '0', $time ] };

$r = get('status');

is(wrong(json($r->{body}), $all), '', 'with a verification')
    or diag($r->{body});

# GET verify: what has never been verified is null throughout

my $never = { map { $_ => '0' } keys %$verify };

$never->{alias} = $text;
$never->{steps} = { map { $_ => '0' } keys %$steps };

$r = get('verify');

is(wrong(json($r->{body}), { databases => [ $verify, $never ] }), '',
    'GET verify') or diag($r->{body});

$r = get('verify/app');

is(wrong(json($r->{body}), $verify), '', 'GET verify of one')
    or diag($r->{body});

# a restored one

$t->quit();
$db->remove();
$t->run();
$t->waitforstate('app', 'replicating');

$app->{restore} = { state => qr/^done$/, bytes => 'i', total_bytes => 'i',
    txid => $txid, duration_ms => 'i', error => '0' };
$app->{history} = { from => $time, to => $time };
$group->{last_exit} = qr/^exited with code 0$/;

$r = get('status');
$st = json($r->{body});

is(wrong($st, $all), '', 'after a restore') or diag($r->{body});
is($st->{databases}[0]{restore}{bytes}, $db->size, 'bytes restored');


sub get { return response(http_get("/litestream/$_[0]")) }


# the members that are not as they should be

sub wrong {
    my ($v, $want, $name) = @_;

    $name //= '';

    if (ref $want eq 'HASH') {
        return "$name: no object " unless ref $v eq 'HASH';

        my %all = (%$v, %$want);

        return join '', map {
            !exists $v->{$_} ? "$name.$_ is not there "
                : !exists $want->{$_} ? "$name.$_ is new "
                : wrong($v->{$_}, $want->{$_}, "$name.$_")
        } sort keys %all;
    }

    if (ref $want eq 'ARRAY' && ref $v eq 'ARRAY') {
        return "$name: ${\ scalar @$v } members " unless @$v == @$want;
        return join '', map { wrong($v->[$_], $want->[$_], "$name\[$_]") }
            0 .. $#$v;
    }

    if (ref $want eq 'ARRAY') {
        return @$want && (grep { wrong($v, $_) eq '' } @$want) ? ''
            : "$name is " . ($v // 'null') . ' ';
    }

    my $ok = $want eq '0' ? !defined $v
        : !defined $v ? 0
        : $want eq 'b' ? JSON::PP::is_bool($v)
        : $want eq 'i' ? !ref $v && JSON::PP->new->allow_nonref->encode($v)
            =~ /^\d+$/
        : $want eq 'n' ? !ref $v && JSON::PP->new->allow_nonref->encode($v)
            =~ /^\d+(\.\d+)?$/
        : !ref $v && JSON::PP->new->allow_nonref->encode($v) =~ /^"/
            && $v =~ $want;

    return $ok ? '' : "$name is " . ($v // 'null') . ' ';
}
