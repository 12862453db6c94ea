#!/usr/bin/perl

# A database whose constraints and indices need functions or collations of its
# application, as those of Django do: it is restored and verified, what can be
# checked is checked, and what is left out is in the log.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3 python3/)->plan(24);

my $dir = $t->testdir;

my %make = (
    constraint => "CREATE TABLE a (v TEXT CHECK (like_it(v)));",
    collation => "CREATE TABLE a (v TEXT COLLATE mine UNIQUE);",
    expression => "CREATE TABLE a (v TEXT); CREATE INDEX i ON a (like_it(v));"
        . "CREATE TABLE c (v TEXT); CREATE INDEX j ON c (like_it(v));",
);

my %db;

for my $name (sort keys %make) {
    $db{$name} = Test::Litestream::DB->new($t->db_dir($name) . '/db.sqlite3');
    python($name, "$make{$name} INSERT INTO a VALUES ('one'), ('two');"
        . 'CREATE TABLE b (id INTEGER PRIMARY KEY, v TEXT);'
        . "INSERT INTO b (v) VALUES ('x'), ('y');");
}

my $replica = $t->db_dir('replica');

for my $name (sort keys %db) {
    my ($rc) = $db{$name}->try_sql('PRAGMA integrity_check;');
    isnt($rc, 0, "$name: SQLite alone cannot check it");

    $db{$name}->replicate("file://$replica/$name");
    $db{$name}->remove();
}

# restored at a start

conf('full');
$t->run();

for my $name (sort keys %db) {
    is($t->waitforstate($name, 'replicating'), 'replicating',
        "$name: replicating");
    is($db{$name}->sql('SELECT count(*) FROM b;'), 2, "$name: rows");
}

my %left = (constraint => 'CHECK constraints', collation => 'tables "a"',
    expression => 'tables "a", "c"');

for my $name (sort keys %db) {
    my ($line) = $t->read_log(qr/"$name": the integrity check left out/);
    like($line, qr/ of the application: $left{$name}$/,
        "$name: the log has what was left out");
}

# verified

for my $name (sort keys %db) {
    for my $mode (qw/ quick full /) {
        my $r = $t->api("verify/$name?mode=$mode", method => 'POST',
            body => '');

        is($r->{verified}, 1, "$name: $mode") or diag($r->{error});
    }
}

$t->stop();

# what is damaged is seen all the same

for my $name (sort keys %db) {
    python($name, "CREATE INDEX b_v ON b (v);"
        . 'PRAGMA writable_schema = ON;'
        . "UPDATE sqlite_master SET sql = 'CREATE INDEX b_v ON b (v) "
        . "WHERE id < 0' WHERE name = 'b_v';");
    python($name, "UPDATE b SET v = 'changed' WHERE id = 1;"
        . 'PRAGMA writable_schema = ON;'
        . "UPDATE sqlite_master SET sql = 'CREATE INDEX b_v ON b (v)' "
        . "WHERE name = 'b_v';");

    $db{$name}->replicate("file://$replica/$name");
    $db{$name}->remove();

    conf('full', $name);

    my ($rc, $err) = $t->try_run();

    isnt($rc, 0, "$name: damaged: nginx does not start");
    like($err, qr/\[emerg\].*"$name".*integrity check: row 1 missing from .*b_v/,
        "$name: damaged: why");
}

sub python {
    my ($name, $sql) = @_;

    my ($rc, undef, $err) = $t->as_user($db{$name}->user, 'python3', '-c',
        <<'EOS', $db{$name}->path, $sql);
import sqlite3, sys
c = sqlite3.connect(sys.argv[1])
c.create_function("like_it", 1, lambda v: len(v), deterministic=True)
c.create_collation("mine", lambda a, b: (a > b) - (a < b))
c.execute("PRAGMA journal_mode = WAL")
c.executescript(sys.argv[2])
c.close()
EOS
    die "python3: $err\n" if $rc;
}


sub conf {
    my ($check, @names) = @_;

    my $dbs = join '', map { "litestream_db $_ $dir/$_/db.sqlite3;\n" }
        @names ? @names : sort keys %db;

    $t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_restore  blocking integrity_check=$check;
    litestream_replica  file://%%TESTDIR%%/replica;
    $dbs

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOF
}
