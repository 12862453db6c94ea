#!/usr/bin/perl

# The command with names of directories and of the databases in them: a
# directory is all of its databases, while nginx runs and when it does not.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::CLI;

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
    litestream_db       tenants %%TESTDIR%%/tenants/**/*.db;
    litestream_db       other %%TESTDIR%%/other/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOF

$t->db_dir($_) for qw! tenants tenants/b replica !;

my %db = map { $_ => Test::Litestream::DB->make("$dir/tenants/$_.db",
        rows => 2 + length) } 'a', 'b/one', 'b/with blank';

$t->db('other', rows => 5);
$t->run();

my @all = map { "tenants/$_.db" } 'a', 'b/one', 'b/with blank';

is($t->waitforstate($_, 'replicating'), 'replicating', "$_: replicating")
    for @all, 'other';

# those of a directory, one of them, by alias or path

is(names('status', 'tenants'), join(', ', @all), 'status of a directory');
is(names('status', $all[2]), $all[2], 'status of one');
is(names('status', $db{a}->path), $all[0], 'status by path');
is(names('status', 'tenants', 'other'), join(', ', 'other', @all),
    'status of both');
is(names('verify', 'tenants'), join(', ', @all), 'verify of a directory');
is(names('verify', $all[1]), $all[1], 'verify of one');
is(names('sync', 'tenants'), join(', ', @all), 'sync of a directory');

my ($rc, $out, $err) = cli($t, 'status', 'tenants');

is($rc, 0, 'table: exit code');
is(join(' ', map { $out =~ /^\Q$_\E\s+replicating\b/m ? 1 : 0 } @all), '1 1 1',
    'table: each database');
like($out, qr/^directory tenants: found, 3 databases, /m,
    'table: the directory');
unlike($out, qr/^other/m, 'table: no other');

($rc, $out, $err) = cli($t, 'databases');

is($rc, 0, 'databases');
is(join(' ', map { $out =~ /\Q$dir\E\/tenants\/\Q$_\E\.db/ ? 1 : 0 }
    keys %db), '1 1 1', 'databases: each');

is((cli($t, 'wait', '-t', '20', 'tenants'))[0], 0, 'wait for a directory');
is((cli($t, 'wait', '-t', '20', $all[1]))[0], 0, 'wait for one');

# what there is not

for my $name ('tenants/', 'tenants/b', 'tenants/none.db', 'tenants/a.db/x',
    'tenants/../other')
{
    my ($rc, $out, $err) = cli($t, 'verify', $name);

    is($rc, 2, "$name: exit code");
    like($err, qr/^nginx-litestream: .*"?\Q$name\E"?.*\n\z/,
        "$name: one line");
}

# to a new file

($rc, $out, $err) = cli($t, 'restore', '-o', "$dir/tenants/copy", $all[2]);

is($rc, 0, 'restore of one') or diag($out, $err);
is(Test::Litestream::DB->new("$dir/tenants/copy")->count, 14,
    'restore of one: rows');

($rc, $out, $err) = cli($t, 'restore', '-o', "$dir/tenants/no", 'tenants');

isnt($rc, 0, 'restore of a directory: refused');
is($err, "nginx-litestream: restore needs one database\n",
    'restore of a directory: why');
ok(!-e "$dir/tenants/no", 'restore of a directory: nothing is made');

# nginx is down

ok($t->quit(), 'quit');

is(names('status', 'tenants', rc => undef), join(', ', @all),
    'down: status of a directory');
is((cli($t, 'verify', 'tenants'))[0], 3, 'down: verify');

($rc, $out, $err) = cli($t, 'restore', '-o', "$dir/tenants/copy2", $all[1]);

is($rc, 0, 'down: restore of one') or diag($out, $err);
is(Test::Litestream::DB->new("$dir/tenants/copy2")->count, 7,
    'down: rows');


# what -json tells of, sorted

sub names {
    my (@args) = @_;

    my %opt = @args > 2 && $args[-2] eq 'rc' ? splice @args, -2 : ();
    my $what = shift @args;
    my ($rc, $out, $err) = cli($t, $what, '-json', @args);

    return "exit code $rc: $err" if $rc && !exists $opt{rc};

    my $json = json($out);

    return join ', ', sort map { $_->{alias} }
        @{ $json->{databases} || [ $json ] };
}
