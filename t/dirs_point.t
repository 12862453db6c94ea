#!/usr/bin/perl

# POST restore of a database that was found in a directory: what it makes is not
# found as another database, whatever the pattern; the directory itself is none.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(13);

my $dir = $t->testdir;

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       tenants %%TESTDIR%%/tenants/**/*;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOF

$t->db_dir($_) for qw! tenants tenants/b replica !;

my $db = Test::Litestream::DB->make("$dir/tenants/b/one", rows => 3);

$t->run();

my $alias = 'tenants/b/one';

is($t->waitforstate($alias, 'replicating'), 'replicating', 'replicating');
is($t->api("sync/$alias", method => 'POST', body => '')->{synced}, 1,
    'synced');

my $r = restore($alias);

is("$r->{status} $r->{restored}", '200 1', 'restored') or diag($r->{error});
is($r->{alias}, $alias, 'alias');
like($r->{file}, qr/^\Q${\ $db->path }\E\.restored-/, 'file');

my $copy = Test::Litestream::DB->new($r->{file});

is($copy->count, 3, 'rows');

# somebody has it open, in its own WAL mode

$copy->hold('BEGIN IMMEDIATE; INSERT INTO t (v) VALUES (1); COMMIT;');

# another one, which is found, shows that all has been looked through

my $other = Test::Litestream::DB->make("$dir/tenants/b/two", rows => 3);

is($t->waitforstate('tenants/b/two', 'replicating', 30), 'replicating',
    'a new database is found');
is(join(' ', sort map { $_->{alias} } @{ $t->status->{databases} }),
    'tenants/b/one tenants/b/two', 'these and no others');
is($t->status->{directories}[0]{databases}, 2, 'two of them');
is($t->status->{directories}[0]{error}, undef, 'nothing is wrong with it');
is($t->database($alias)->{restored}{file}, $r->{file}, 'status');

$r = restore('tenants');

is("$r->{status} $r->{error}",
    '400 "tenants" is a directory of databases: name one of them',
    'a directory');
is(scalar(@{[ glob "$dir/tenants/*.restored-*" ]}), 0, 'nothing is made');


sub restore {
    my $r = response(http_post("/litestream/restore/$_[0]", '{}'));
    return { %{ json($r->{body}) }, status => $r->{status} };
}
