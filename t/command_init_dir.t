#!/usr/bin/perl

# nginx-litestream init: a directory of databases in a litestream.yml becomes a
# directive, with which nginx goes on with the backups that Litestream has made
# with that file.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::CLI;
use Test::Litestream::Init qw/ accepted databases /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(23);

my $dir = $t->testdir;
my ($rc, $out, $err);

$t->db_dir($_) for qw! tenants tenants/a tenants/a/b flat backup !;

my %db = map { $_ => Test::Litestream::DB->make("$dir/$_", rows => 3) }
    'tenants/x.db', 'tenants/a/b/y.db', 'flat/z.sqlite';

yaml(<<EOF);
dbs:
  - dir: $dir/tenants/
    pattern: "*.db"
    recursive: true
    watch: true
    busy-timeout: 2s
    replica:
      path: $dir/backup/tenants/
      sync-interval: 2s
  - dir: flat
    pattern: "*.sqlite"
    replica:
      url: file://$dir/backup/flat
EOF

($rc, $out, $err) = init();

is("$rc$err", '0', 'exit code');
is(databases($out), "tenants $dir/tenants/**/*.db, flat $dir/flat/*.sqlite",
    'directives');
like($out, qr!^\ +replica=file://\Q$dir\E/backup/tenants/\$file
    \ sync_interval=2s\ busy_timeout=2s;$!mx, 'replica and parameters')
    or diag($out);
unlike($out, qr/base_config|left out/, 'nothing is left');
is(accepted($t, $out), 'ok', 'nginx accepts it');

# backups that Litestream has made by itself, with the same file

my $user = $db{'flat/z.sqlite'}->user;

($rc, my $said, $err) = $t->as_user($user, 'sh', '-c', "cd $dir && exec "
    . $t->litestream . ' replicate -once -config litestream.yml');

is($rc, 0, 'Litestream with the file') or diag($said, $err);

my %backup = (
    'tenants/x.db' => 'tenants/x.db',
    'tenants/a/b/y.db' => 'tenants/a/b/y.db', 'flat/z.sqlite' => 'flat/z.sqlite',
);

my %txid = map { $_ => $db{$_}->txid("file://$dir/backup/$backup{$_}") }
    sort keys %db;

isnt($txid{$_}, '', "$_: its backup") for sort keys %db;

$db{$_}->insert(1, 'later') for keys %db;

$t->write_file('nginx.conf', $t->globals . "daemon off;\n"
    . ($out =~ s!^load_module.*!!mr)
        =~ s!^http \{!http {\n@{[ $t->globals_http ]}!mr
        =~ s!listen 80;!'listen 127.0.0.1:' . port(8080) . ';'!er);

$t->run();

for (sort keys %db) {
    is($t->waitforstate($_, 'replicating', 30), 'replicating',
        "$_: replicating");
    is($db{$_}->restore_count("file://$dir/backup/$backup{$_}",
        where => "v = 'later'"), 1, "$_: its backup goes on");
}

ok($t->quit(), 'quit');

# with what has no directive, it stays in the file

yaml("levels:\n  - interval: 1m\n" . $t->read_file('litestream.yml')
    =~ s!dir: flat!dir: $dir/flat!r);

($rc, $out, $err) = init();

is("$rc$err", '0', 'with other keys: exit code');
like($out, qr/litestream_base_config .*litestream\.yml;/,
    'with other keys: the file');
is(accepted($t, $out), 'ok', 'with other keys: nginx accepts it');

# what nginx does not take is told

yaml(<<EOF);
dbs:
  - dir: $dir/tenants
    pattern: "?.db"
    replica:
      path: $dir/backup/one
  - dir: $dir/flat
    pattern: z.sqlite
    replica:
      path: $dir/backup/two
  - dir: $dir/flat
    pattern: "*"
    replica:
      path: $dir/backup/three
EOF

($rc, $out, $err) = init();

is("$rc$err", '0', 'others: exit code');
like($out =~ s/\n#   / /gr, qr!^# dir \Q$dir/$_->[0]\E is left out: $_->[1]!m,
    "others: $_->[0]") for ['tenants', 'in its pattern there can be "\*"'],
    ['flat', 'its pattern means one file'];
is(databases($out), "flat $dir/flat/*", 'others: what is left');


sub yaml { $t->write_file('litestream.yml', $_[0]) }

sub init { return cli($t, { cwd => $dir }, 'init', 'litestream.yml') }
