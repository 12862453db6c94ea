#!/usr/bin/perl

# A directory of databases in a litestream_base_config: those that Litestream
# itself has replicated are found at the places that it has made, and
# continued; new ones are found; what the file says counts for each of them.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::DB;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(19);

my $dir = $t->testdir;

$t->db_dir($_) for qw/ tenants tenants2 replica /;
$t->db_dir('tenants/a');

my %db = map { $_ => Test::Litestream::DB->make("$dir/tenants/$_", rows => 3) }
    qw! one.db a/two.db other.sqlite !;

$t->write_file('base.yml', <<"EOF");
dbs:
  - dir: $dir/tenants/
    pattern: '*.db'
    recursive: true
    watch: true
    truncate-page-n: 54321
    monitor-interval: 700ms
    replica:
      url: file://$dir/replica/all/
      sync-interval: 800ms
  - dir: $dir/tenants2
    pattern: '*.db'
EOF
chmod 0644, "$dir/base.yml";

# Litestream itself, without what it is not asked

my $user = ($t->user)[0];

$t->write_file('own.yml', $t->read_file('base.yml') =~ s/  - dir: \S+2\n.*//sr);
chmod 0644, "$dir/own.yml";

my ($rc, $out, $err) = $t->as_user($user, $t->litestream, 'replicate',
    '-once', '-config', "$dir/own.yml");
is($rc, 0, 'Litestream itself') or diag("$out$err");

my %url = map { $_ => "file://$dir/replica/all/$_" } keys %db;
my %txid = map { $_ => $db{$_}->txid($url{$_}) } keys %db;

ok($txid{'one.db'} && $txid{'a/two.db'}, 'has made backups');

$t->write_file_expand('nginx.conf', <<'EOC');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_base_config  base.yml;
    litestream_replica      file://%%TESTDIR%%/replica;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api write=on;
        }
    }
}

EOC

$t->run();

for ('one.db', 'a/two.db') {
    is($t->waitforstate("tenants/$_", 'replicating'), 'replicating',
        "$_: replicating");
    is($t->database("tenants/$_")->{replica}{url}, $url{$_},
        "$_: the place of Litestream's own");

    is($db{$_}->insert(2), 5, "$_: rows");
    is($t->api("sync/tenants/$_", method => 'POST')->{synced} ? 1 : 0, 1,
        "$_: synced");
    cmp_ok($db{$_}->txid($url{$_}), 'gt', $txid{$_}, "$_: continued");
    is($db{$_}->restore_count($url{$_}), 5, "$_: all rows");
}

ok(!$t->database('tenants/other.sqlite'), 'another name is none of it');

# what the file says

my ($yml) = map { $t->read_file($_) } glob $t->state_path . '/*/litestream.yml';

is(() = $yml =~ /truncate-page-n: 54321/g, 2, 'a key of each');
is(() = $yml =~ /monitor-interval: 700ms\n.*?sync-interval: 800ms/gs, 2,
    'its intervals');

# a new one, and the other directory, whose replica is that of nginx.conf

Test::Litestream::DB->make("$dir/tenants/new.db", rows => 1);
is($t->waitforstate('tenants/new.db', 'replicating', 30), 'replicating',
    'a new one');

Test::Litestream::DB->make("$dir/tenants2/x.db", rows => 1);
$t->waitforstate('tenants2/x.db', 'replicating', 30);
is($t->database('tenants2/x.db')->{replica}{url},
    "file://$dir/replica/tenants2/x.db", 'the replica of nginx.conf');
