#!/usr/bin/perl

# "history" in the status: the times that can be restored to.  It is there soon
# after the first sync, its end moves on with each sync, its beginning with what
# Litestream removes; the status itself never asks the storage.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Storage;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3 gcc/)->plan(27);

my $dir = $t->testdir;
my $storage = Test::Litestream::Storage->new($t);

$t->write_file('base.yml', <<'EOF');
levels:
  - interval: 1s
l0-retention: 1s
l0-retention-check-interval: 1s
EOF

conf('30s');

my $db = $t->db('app', rows => 3);

$t->db_dir($_) for qw/ replica new /;
$t->run(env => $storage->env);

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
is_deeply($t->database('new')->{history}, { from => undef, to => undef },
    'a new one has none');

# soon after the first sync, without being asked

ok($t->waituntil(sub { defined history()->{from} }), 'it has a beginning');

my $first = history();

like($first->{from}, qr/^20\d\d-.*\.\d{3}Z$/, 'from');
cmp_ok($first->{from}, 'le', $first->{to}, 'to');
is($first->{from}, oldest(), 'from: what a restore begins with');

# each of the two can be restored, what is outside of them cannot

for my $at (@$first{qw/ from to /}) {
    my $r = restore($at);
    is($r->{status}, 200, "restored: $at") or diag($r->{error});
}

my $before = $first->{from} =~ s/^(\d+)/$1 - 1/er;

is(restore($before)->{status}, 404, "not restored: $before");

# its end moves on without commits, and never beyond the last sync

ok($t->waituntil(sub { history()->{to} gt $first->{to} }),
    'to: it moves on when nothing is committed');

my $st = $t->database('app');

is($st->{history}{to}, $st->{last_sync_at}, 'to: the last sync');

# the status asks nobody

my $n = $storage->opened('');
my @st = map { $t->database('app')->{history}{from} } 1 .. 50;

cmp_ok($storage->opened('') - $n, '<=', 20, 'the status does not list');
is(join(' ', grep { !defined } @st), '', 'it is there each time');

# a row is written and restored at a moment within it

$db->insert(1, 'mark');
$t->api('sync/app', method => 'POST', body => '');

my $to = history()->{to};
my $r = restore($to);

is($r->{status}, 200, 'restored: the end') or diag($r->{error});
is(Test::Litestream::DB->new($r->{file})->count("v = 'mark'"), 1,
    'restored: what was committed before it');

# snapshots come and go: the beginning is that of the oldest one that is left,
# as soon as the replica is listed

for (1 .. 3) {
    $db->insert(50);
    $t->api('sync/app', method => 'POST', body => '');
    select undef, undef, undef, 1.1;
}

ok($t->waituntil(sub {
    $t->api('ltx/app');
    return history()->{from} gt $first->{from};
}, 30), 'from: it moves on');

is(restore($first->{from})->{status}, 404, 'not restored any more');

# it is kept over a reload, a restart, and while the storage hangs

my $now = history();

conf('29s');
ok($t->reload(), 'reload');
cmp_ok(history()->{from} // '', 'ge', $now->{from}, 'reload: from');
cmp_ok(history()->{to} // '', 'ge', $now->{to}, 'reload: to');

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
ok($t->quit(), 'quit');

$storage->mode('hang /replica/');
$t->run(env => $storage->env);

cmp_ok(history()->{from} // '', 'ge', $now->{from}, 'restart: from');
is($t->database('app')->{state}, 'checking', 'restart: the storage hangs');

$storage->mode();
is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

# one that appears

Test::Litestream::DB->make("$dir/new/db.sqlite3", rows => 1);

is($t->waitforstate('new', 'replicating', 30), 'replicating', 'a new one');
ok($t->waituntil(sub { $t->database('new')->{history}{from} }, 30),
    'a new one: it has a beginning');


sub history { return $t->database('app')->{history} }


sub restore {
    my ($at) = @_;
    my $r = response(http_post('/litestream/restore/app',
        qq({"timestamp":"$at"})));
    return { %{ json($r->{body}) }, status => $r->{status} };
}


# of what the replica holds now

sub oldest {
    return (sort map { $_->{timestamp} }
        grep { $_->{min_txid} eq '0000000000000001' }
        @{ $t->api('ltx/app')->{ltx} })[0];
}


sub conf {
    my ($timeout) = @_;

    $t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_base_config       %%TESTDIR%%/base.yml;
    litestream_snapshot          interval=1s retention=3s;
    litestream_shutdown_timeout  $timeout;

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;
    litestream_db       new %%TESTDIR%%/new/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOF
}
