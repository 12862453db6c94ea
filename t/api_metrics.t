#!/usr/bin/perl

# GET metrics: the text format 0.0.4 of Prometheus, read by a strict parser;
# the values are those of GET status; what is unknown has no sample.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Prometheus qw/ metrics sample /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(83);

my $dir = $t->testdir;

$t->write_file_expand('nginx.conf', <<'EOC' =~ s/%%AE%%/\xc3\xa4/r);

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    gzip        on;
    gzip_types  text/plain;
    charset     koi8-r;

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;
    litestream_db       later '%%TESTDIR%%/later/q"b\\%%AE%%.sqlite3';

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }

        location /app/ {
            litestream_api  db=app;
        }

        location = /metrics {
            litestream_api  db=later;
        }
    }
}

EOC

my $db = $t->db('app', rows => 7);

$t->db_dir($_) for qw/ later replica /;

$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
is($t->waitforstate('later', 'new'), 'new', 'new');

$t->waituntil(sub { defined $t->database('app')->{txid} });

# the frame

my $r = get();

is($r->{status}, 200, 'status');
is($r->{headers}{'content-type'}, 'text/plain; version=0.0.4; charset=utf-8',
    'Content-Type');
is($r->{headers}{'cache-control'}, 'no-store', 'Cache-Control');
is($r->{headers}{'content-length'}, length $r->{body}, 'Content-Length');

my ($m, @wrong) = metrics($r->{body});

is("@wrong", '', 'well-formed') or diag($r->{body});

for my $name (sort keys %$m) {
    like($name, qr/^nginx_litestream_[a-z_]+$/, $name);
    is($m->{$name}{type}, $name =~ /_total$/ ? 'counter' : 'gauge',
        "$name: type");
}

# module, supervisor, Litestream

my $st = $t->status;
my ($group) = @{ $st->{litestream} };
my %group = (group => $group->{group});

is(sample($m, 'build_info', version => $st->{module_version},
    nginx_version => $st->{nginx_version}), 1, 'versions');
is(sample($m, 'supervisor_up'), 1, 'supervisor');
is(sample($m, 'supervisor_restarts_total'), 0, 'its restarts');
is(sample($m, 'process_up', %group), 1, 'Litestream');
is(sample($m, 'process_restarts_total', %group), 0, 'its restarts');
is(sample($m, 'process_info', %group, user => $group->{user},
    version => $group->{version}), 1, 'its user and version');
cmp_ok(abs(time() - sample($m, 'process_start_time_seconds', %group)), '<',
    120, 'its start');

# the databases

my $app = $t->database('app');

is(sample($m, 'db_info', db => 'app', path => $db->path, %group,
    replica_type => 'file'), 1, 'information');
is(sample($m, 'db_info', db => 'later', %group, replica_type => 'file',
    path => "$dir/later/q\"b\\\xc3\xa4.sqlite3"), 1, 'a label is escaped');

is(state($m, 'db_state', 'app'), 'replicating 8', 'state');
is(state($m, 'db_state', 'later'), 'new 8', 'state of the new one');
is(state($m, 'db_restore_state', 'app'), 'none 4', 'restore');

is(sample($m, 'db_ready', db => 'app'), 1, 'ready');
is(sample($m, 'db_in_place', db => 'later'), 1, 'in place');
is(sample($m, 'db_size_bytes', db => 'app'), $db->size, 'size');
cmp_ok(sample($m, 'db_lag_seconds', db => 'app'), '<', 60, 'lag');
cmp_ok(abs(time() - sample($m, 'db_last_sync_timestamp_seconds',
    db => 'app')), '<', 60, 'last sync');
cmp_ok(sample($m, 'db_txid', db => 'app'), '<=', hex $app->{txid}, 'txid');
cmp_ok(sample($m, 'db_txid', db => 'app'), '>', 0, 'txid is there');

# unknown

is(sample($m, "db_$_", db => 'later'), undef, "unknown: $_")
    for qw/ lag_seconds size_bytes txid verify_success
        last_sync_timestamp_seconds restore_duration_seconds /;
is($m->{nginx_litestream_db_verify_success}, undef,
    'a metric without samples is not there');
unlike($r->{body}, qr/ (NaN|[+-]Inf)$/m, 'no NaN');

# after a verification; Litestream is killed

http_post('/litestream/verify/app', '');

my ($pid) = $t->litestream_pids;

$t->signal('KILL', $pid);
$t->waituntil(sub {
    my ($new) = $t->litestream_pids;
    return $new && $new != $pid
        && (sample(scalar metrics(get()->{body}), 'process_up', %group)
            // 0) == 1;
});

($m) = metrics(get()->{body});

my $v = $t->api('verify/app');

is(sample($m, 'db_verify_success', db => 'app'), 1, 'verified');
is(sample($m, 'db_verify_duration_seconds', db => 'app') * 1000,
    $v->{duration_ms}, 'its duration');
cmp_ok(abs(time() - sample($m, 'db_verify_timestamp_seconds', db => 'app')),
    '<', 60, 'its time');
is(sample($m, 'process_restarts_total', %group), 1, 'a restart is counted');

# db= and HEAD, and compressed

is(dbs('/app/metrics'), 'app', 'only the databases of the location');
is(dbs('/metrics'), 'later', 'a location of its own');
is(response(http_post('/litestream/metrics', ''))->{status}, 405, 'POST');
is(response(http_get('/litestream/metrics/app'))->{status}, 404, 'an alias');

$r = response(http_head('/litestream/metrics'));

is("$r->{status} $r->{body}", '200 ', 'HEAD');

$r = response(http_get('/litestream/metrics', version => '1.1',
    headers => { 'Accept-Encoding' => 'gzip' }));

is($r->{headers}{'content-encoding'}, 'gzip', 'compressed');

# a restored one, and no supervisor

$t->quit();
$db->remove();
$t->run();
$t->waitforstate('app', 'replicating');

($m) = metrics(get()->{body});

is(state($m, 'db_restore_state', 'app'), 'done 4', 'restored');
is(sample($m, 'db_restore_bytes', db => 'app'), $db->size, 'bytes restored');
cmp_ok(sample($m, 'db_restore_duration_seconds', db => 'app'), '>', 0,
    'duration of the restore');


sub get { return response(http_get('/litestream/metrics')) }


# the state that is 1, and how many there are

sub state {
    my ($m, $name, $db) = @_;

    my @all = grep { $_->{labels}{db} eq $db }
        @{ $m->{"nginx_litestream_$name"}{samples} };
    my @on = grep { $_->{value} == 1 } @all;

    return join(' ', map { $_->{labels}{state} } @on) . ' ' . @all;
}


# the databases that there are samples of

sub dbs {
    my ($m) = metrics(response(http_get($_[0]))->{body});
    my %dbs = map { $_->{labels}{db} => 1 } grep { exists $_->{labels}{db} }
        map { @{ $_->{samples} } } values %$m;

    return join ' ', sort keys %dbs;
}
