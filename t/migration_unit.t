#!/usr/bin/perl

# Moving from Litestream and a unit, and back, as docs/migration.md has it, with
# an application that goes on committing all the time: the backup is continued
# each time, and nothing that was acknowledged is missing in the end.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::CLI;
use Test::Litestream::Command qw/ become /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(20);

my $dir = $t->testdir;
my $url = "file://$dir/replica/shop";
my $user = ($t->user)[0];
my $db = $t->db('app', rows => 3);

$t->db_dir('replica');

$t->write_file('litestream.yml', <<"EOF");
snapshot:
  interval: 1h
  retention: 168h
dbs:
  - path: ${\ $db->path }
    monitor-interval: 500ms
    replica:
      path: $dir/replica/shop
      sync-interval: 500ms
EOF
chmod 0644, "$dir/litestream.yml";

$t->write_file_expand('nginx.conf', <<'EOC');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_base_config  litestream.yml;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOC

my $writer = $db->writer(rate => 20);

# as it was

my $pid = unit();

ok($t->waituntil(sub { $db->txid($url) gt '0000000000000002' }, 30),
    'Litestream replicates');

my ($rc, $out, $err) = $t->nginx('-T');
is($rc, 0, 'nginx -t') or diag($out);
like($out, qr/retention: 168h\n.*monitor-interval: 500ms/s, 'nginx -T');

# here

is($t->stop_daemon($pid), 0, 'the unit ends');
my $txid = $db->txid($url);

$t->run();

is($t->waitforstate('db', 'replicating'), 'replicating', 'nginx replicates');
($rc, $out, $err) = cli($t, 'databases');
like($out, qr/^db +\Q${\ $db->path }\E +\Q$url\E$/m, 'its alias');
($rc, $out, $err) = cli($t, 'verify', 'db');
is($rc, 0, 'verified') or diag("$out$err");
cmp_ok($db->txid($url), 'gt', $txid, 'continued');

ok($writer->wait(scalar(my @a = $writer->acked) + 20), 'commits meanwhile');

# back again

is($t->quit(), 1, 'quit');
$txid = $db->txid($url);
$pid = unit();

ok($t->waituntil(sub { $db->txid($url) gt $txid }, 30), 'the unit goes on');
ok($writer->wait(scalar(@a = $writer->acked) + 20), 'commits meanwhile');

# and here once more, after the machine is lost

my @acked = $writer->stop();
is($t->stop_daemon($pid), 0, 'the unit ends');
$db->remove();
$t->run();

is($t->waitforstate('db', 'replicating'), 'replicating', 'restored');
is(join(' ', $writer->lost($db, @acked)), '', 'nothing is lost');
cmp_ok(scalar @acked, '>', 40, 'of what was committed');
is($db->integrity, 'ok', 'it is whole');
is($db->sql("SELECT count(*) FROM sqlite_master WHERE name LIKE '%verif%'"), 0,
    'nothing of a verification is left');
is(scalar(my @beside = grep { !/^db\.sqlite3/ } $db->beside), 0,
    'no file is left');
is($t->quit(), 1, 'quit');


# litestream.service

sub unit {
    my $bin = $t->litestream;

    return $t->run_daemon(sub {
        become($user);
        exec $bin, 'replicate', '-config', "$dir/litestream.yml";
    });
}
