#!/usr/bin/perl

# A file that several litestream_db mean is one database: that of its own
# litestream_db, else of the first directory that means it.  What belongs to a
# site is shown by its server{} only.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(24);

my $dir = $t->testdir;

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       inner %%TESTDIR%%/t/b/*.db;
    litestream_db       outer %%TESTDIR%%/t/**/*.db;
    litestream_db       named %%TESTDIR%%/t/b/named.db;
    litestream_db       off %%TESTDIR%%/t/off.db
                        replica=file://%%TESTDIR%%/replica/elsewhere
                        replicate=off;

    server {
        listen  127.0.0.1:8080 default_server;

        location /litestream/ {
            litestream_api  write=on;
        }
    }

    server {
        listen         127.0.0.1:8080;
        server_name    one.example.com;
        litestream_db  one %%TESTDIR%%/one/**/*.db;

        location / {
            return 200 "$litestream_ready";
        }

        location /litestream/ {
            litestream_api  write=on;
        }
    }

    server {
        listen         127.0.0.1:8080;
        server_name    two.example.com;
        litestream_db  two %%TESTDIR%%/two/*.db restore=required;

        location / {
            return 200 "$litestream_ready";
        }

        location /litestream/ {
            litestream_api;
        }
    }

    server {
        listen       127.0.0.1:8080;
        server_name  some.example.com;

        location /litestream/ {
            litestream_api  db=inner,one;
        }
    }
}

EOF

$t->db_dir($_) for qw! t t/b t/b/c one one/x two replica !;

my %db = map { $_ => Test::Litestream::DB->make("$dir/$_.db", rows => 4) }
    qw! t/a t/b/named t/b/x t/b/c/y t/off one/x/z !;

$db{'t/off'}->replicate("file://$dir/replica/elsewhere");

$t->run();

# each once

my @all = qw! inner/x.db named off one/x/z.db outer/a.db outer/b/c/y.db !;

ok($t->waituntil(sub {
    return join(' ', map { "$_->{alias}=$_->{state}" }
        sort { $a->{alias} cmp $b->{alias} }
        @{ ($t->status || {})->{databases} || [] })
        eq join(' ', map { "$_=" . ($_ eq 'off' ? 'new' : 'replicating') }
        @all);
}, 30), 'each is one database') or diag(explain($t->status->{databases}));

is($db{'t/b/x'}->restore_count("file://$dir/replica/inner/x.db"), 4,
    'of the first directory');
is($db{'t/b/named'}->restore_count("file://$dir/replica/named"), 4,
    'of its own litestream_db');
ok(!-e "$dir/replica/$_", "no $_")
    for qw! outer/b/x.db outer/b/named.db inner/named.db outer/off.db !;

# new ones as well

$db{'t/b/new'} = Test::Litestream::DB->make("$dir/t/b/new.db", rows => 1);

is($t->waitforstate('inner/new.db', 'replicating', 30), 'replicating',
    'a new one, too');

Test::Litestream::DB->make("$dir/t/new.db", rows => 1);
is($t->waitforstate('outer/new.db', 'replicating', 30), 'replicating',
    'and one of the other directory');
is($t->database('outer/b/new.db'), undef, 'which has not found the first');

# sites

is(site('one', 'status'), 'one/x/z.db', 'a site: its databases');
is(site('some', 'status'), 'inner/new.db inner/x.db one/x/z.db',
    'db=: those of the directories');
is(site('two', 'status'), '', 'a site without any yet');
is(join(' ', map { $_->{alias} } @{ get('one', 'status')->{directories} }),
    'one', 'a site: its directory');
is(response(http_get('/litestream/status/outer', host('one')))->{status}, 404,
    'a site: not the others\'');
is(response(http_get('/litestream/status/outer/a.db', host('one')))->{status},
    404, 'a site: no database of theirs');
is(response(http_post('/litestream/verify/one/x/z.db', '', host('one')))
    ->{status}, 200, 'a site: verify of its own');
is(response(http_post('/litestream/verify/outer/a.db', '', host('one')))
    ->{status}, 404, 'a site: of no other');
unlike(response(http_get('/litestream/metrics', host('one')))->{body},
    qr/outer|inner|named/, 'a site: metrics');

# restore=required and nothing there: that site is not ready, all others are

ok($t->waituntil(sub {
    return (get('two', 'status')->{directories}[0]{error} // '')
        =~ /holds no backup, and restore=required/;
}), 'restore=required: told');
is(response(http_get('/', host('two')))->{body}, '0', 'its site is not ready');
is(response(http_get('/', host('one')))->{body}, '1', 'another one is');
is($t->api('ready?db=outer')->{ready}, 1, 'the others are');

Test::Litestream::DB->make("$dir/two/q.db", rows => 1);

ok($t->waituntil(sub {
    return response(http_get('/', host('two')))->{body} eq '1';
}, 60), 'a file is there: ready');


sub host { return (headers => { Host => "$_[0].example.com" }) }

sub get {
    my ($site, $uri) = @_;
    return json(response(http_get("/litestream/$uri", host($site)))->{body});
}

sub site {
    return join ' ', sort map { $_->{alias} } @{ get(@_)->{databases} };
}
