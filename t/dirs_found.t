#!/usr/bin/perl

# A directory of databases: those that are there are replicated, each under a
# name of its own, and those that come later, too.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(34);

my $dir = $t->testdir;

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       tenants %%TESTDIR%%/tenants/**/*.sqlite3;
    litestream_db       other %%TESTDIR%%/other/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }

        location / {
            return 200 "$litestream_ready $litestream_lag";
        }
    }
}

EOF

$t->db_dir($_) for qw! tenants tenants/b tenants/b/deep replica !;

my %db = map { $_ => Test::Litestream::DB->make("$dir/tenants/$_.sqlite3",
        rows => 3) } 'a', 'b/one', 'b/deep/two';

$t->db('other', rows => 5);

# what looks like one, but is none

$t->write_file('tenants/b/notes.txt', 'x');
$t->write_file('tenants/zero.sqlite3', '');

$t->run();

my @alias = map { "tenants/$_.sqlite3" } 'a', 'b/deep/two', 'b/one';

is($t->waitforstate($_, 'replicating'), 'replicating', "$_: replicating")
    for @alias, 'other';

my $st = $t->status;

is(join(' ', sort map { $_->{alias} } @{ $st->{databases} }),
    "other @alias", 'these and no others');
is($st->{ready}, 1, 'ready');

my ($one) = grep { $_->{alias} eq $alias[1] } @{ $st->{databases} };

is($one->{path}, $db{'b/deep/two'}->path, 'path');
is($one->{replica}{url}, "file://$dir/replica/$alias[1]", 'replica');
cmp_ok($one->{lag_seconds}, '<', $t->ceiling(15), 'lag');
is($one->{error}, undef, 'no error');

my $tenants = $st->{directories}[0];

is(join(' ', @{ $tenants }{qw/ alias path state databases /}),
    "tenants $dir/tenants/**/*.sqlite3 found 3", 'the directory');
is($tenants->{error}, undef, 'the directory: no error');
is(scalar(my @pids = $t->litestream_pids), 1, 'one Litestream');

# one, all of a directory, and what does not exist

is(join(' ', map { $_->{alias} }
    @{ $t->status('tenants/b/one.sqlite3')->{databases} }), $alias[2],
    'status of one');
is(join(' ', sort map { $_->{alias} } @{ $t->status('tenants')->{databases} }),
    "@alias", 'status of a directory');
is(response(http_get("/litestream/status/$_"))->{status}, 404, "$_: unknown")
    for 'tenants/', 'tenants/x', 'tenants/a.sqlite', 'other/a';

is(join(' ', sort keys %{ $t->api('ready?db=tenants')->{databases} }),
    "@alias", 'ready of a directory');
is(response(http_get("/litestream/ready?db=$alias[1]&replicating=1"))
    ->{status}, 200, 'ready of one');

ok($t->waituntil(sub {
    return response(http_get('/'))->{body} =~ /^1 \d+\.\d{3}$/;
}), 'variables');

# questions

my $r = response(http_post("/litestream/verify/$alias[1]", ''));

is($r->{status}, 200, 'verify of one') or diag($r->{body});
is(json($r->{body})->{alias}, $alias[1], 'verify of one: which');

$r = response(http_post('/litestream/verify/tenants', ''));

is($r->{status}, 200, 'verify of a directory') or diag($r->{body});
is(scalar(grep { $_->{verified} } @{ json($r->{body})->{databases} }), 3,
    'verify of a directory: all');

is(join(' ', grep { !m!/litestream\.sock$! } glob "$dir/s/*/run/*"), '',
    'nothing is left of it');

$db{a}->insert(1, 'last');
$r = response(http_post('/litestream/sync/tenants', ''));

is($r->{status}, 200, 'sync of a directory') or diag($r->{body});
is(scalar(grep { $_->{synced} } @{ json($r->{body})->{databases} }), 3,
    'sync of a directory: all');
is($db{a}->restore_count("file://$dir/replica/tenants/a.sqlite3",
    where => "v = 'last'"), 1, 'the replica has it');

like(response(http_get('/litestream/metrics'))->{body},
    qr/^nginx_litestream_db_ready\{db="\Q$alias[1]\E"\} 1$/m, 'metrics');

# later: in a directory that is there, and in one that is not

my $new = Test::Litestream::DB->make("$dir/tenants/new.sqlite3", rows => 7);

is($t->waitforstate('tenants/new.sqlite3', 'replicating', 30), 'replicating',
    'a new one');
is($new->restore_count("file://$dir/replica/tenants/new.sqlite3"), 7,
    'a new one: its backup');

$t->db_dir('tenants/late');
$new = Test::Litestream::DB->make("$dir/tenants/late/x.sqlite3", rows => 8);

is($t->waitforstate('tenants/late/x.sqlite3', 'replicating', 30),
    'replicating', 'in a new directory');
