#!/usr/bin/perl

# What a whole Litestream has in common: databases with another snapshot
# setting, or another address for metrics, are another Litestream's.  Both do
# what they say, and a reload that changes one keeps the folder of the other.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Proc qw/ config_of slurp /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(31);

my $dir = $t->testdir;

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica   file://%%TESTDIR%%/replica;
    litestream_snapshot  interval=12h retention=30d;
    litestream_db        main %%TESTDIR%%/main/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api db=main,same,often,other;
        }

        litestream_db  same %%TESTDIR%%/same/db.sqlite3;
    }

    server {
        listen  127.0.0.1:8081;

        litestream_db            often %%TESTDIR%%/often/db.sqlite3;
        litestream_snapshot      interval=1s;
        litestream_metrics_addr  127.0.0.1:%%PORT_8090%%;
    }

    server {
        listen  127.0.0.1:8082;

        litestream_metrics_addr  localhost:%%PORT_8091%%;
        litestream_db            other %%TESTDIR%%/other/db.sqlite3;
    }
}

EOF

my %db = map { $_ => $t->db($_, rows => 2) } qw/ main same often other /;

$t->db_dir('replica');

$t->run();

is($t->waitforstate($_, 'replicating'), 'replicating', "$_: replicating")
    for sort keys %db;

# which database has which Litestream

my %pid;

ok($t->waituntil(sub { all() == 4 }), 'all are in a Litestream');

my %pids = map { $_ => 1 } values %pid;

is(scalar keys %pids, 3, 'three Litestreams');
is($pid{main}, $pid{same}, 'the same settings: the same one');
is(scalar(my @pids = $t->litestream_pids), 3, 'no other one');

# what they are told

like(yml('main'), qr/^snapshot:\n  interval: 43200s\n  retention: 2592000s$/m,
    'snapshots of http{}');
unlike(yml('main'), qr/^addr/m, 'no metrics');
like(yml('often'), qr/^snapshot:\n  interval: 1s\n(?!  )/m,
    'snapshots of server{}: retention is not taken from http{}');
like(yml('other'), qr/^snapshot:\n  interval: 43200s\n  retention: 2592000s$/m,
    'snapshots of http{}, inherited');
like(yml('often'), qr/^addr: "127\.0\.0\.1:${\ port(8090) }"$/m, 'metrics');

# what they do

is(join(' ', metrics(8090)), 'often', 'metrics of one database');
is(join(' ', metrics(8091)), 'other', 'metrics of another');

$db{$_}->insert() for qw/ often main /;

ok($t->waituntil(sub {
    $db{often}->insert();
    return snapshots('often') > 2;
}, 20, 0.5), 'snapshots are made');
cmp_ok(snapshots('main'), '<', 2, 'not of others');

# more of the same: what is there keeps its folder

my %folder = folders();

is(scalar keys %folder, 3, 'a folder each');

my $conf = $t->read_file('nginx.conf');

$t->db('more', rows => 1);
$t->write_file('nginx.conf', $conf =~ s/db=main/db=more,main/r
    =~ s!(?=litestream_db +main)!litestream_db more $dir/more/db.sqlite3;!r);

ok($t->reload(), 'reload with one more');
is($t->waitforstate('more', 'replicating'), 'replicating', 'it is replicated');
ok($t->waituntil(sub { all() == 5 }), 'and so are the others');

my %now = folders();

is(join(' ', map { $now{$_} } sort keys %folder),
    join(' ', map { $folder{$_} } sort keys %folder),
    'the folders are the same');

# another setting of one

my $super = $t->supervisor_pid;

$t->write_file('nginx.conf', $conf =~ s/interval=1s/interval=2h/r);

ok($t->reload(), 'reload with another setting');
ok($t->waituntil(sub {
    my $pid = $t->supervisor_pid;
    return $pid && $pid != $super && all() == 4;
}, 20), 'another supervisor');

%now = folders();

is($now{main}, $folder{main}, 'others keep their folder');
isnt($now{often}, $folder{often}, 'this one has another');
like(yml('often'), qr/^snapshot:\n  interval: 7200s\n(?!  )/m,
    'and its setting');
is($t->waitforstate('often', 'replicating'), 'replicating', 'replicating');

my $rows = $db{often}->insert(1, 'after the change');

ok($t->waituntil(sub {
    $db{often}->restore_count("file://$dir/replica/often") == $rows;
}), 'nothing is lost');

# the same again: nothing happens

$super = $t->supervisor_pid;

ok($t->reload(), 'reload without a change');
is($t->supervisor_pid, $super, 'the same supervisor');


# how many databases are known to their Litestream

sub all {
    %pid = ();

    for my $pid ($t->litestream_pids) {
        my $list = $t->control('/list', pid => $pid) || {};
        $pid{(split '/', $_->{path})[-2]} = $pid
            for @{ $list->{databases} || [] };
    }

    return scalar keys %pid;
}


sub yml { return slurp(config_of($pid{$_[0]})->{file}) // '' }


sub folders {
    return map { $_ => (split '/', config_of($pid{$_})->{file})[-2] }
        grep { /main|often|other/ } keys %pid;
}


sub metrics {
    my ($port) = @_;

    my $text = response(http_get('/metrics',
        peer => '127.0.0.1:' . port($port)))->{body} // '';

    return map { (split '/', $_)[-2] }
        $text =~ /^litestream_db_size\{db="(.*?)"/mg;
}


sub snapshots {
    my ($alias) = @_;
    return scalar grep { $_->{level} == 9 }
        @{ $db{$alias}->ltx("file://$dir/replica/$alias") // [] };
}
