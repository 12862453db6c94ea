#!/usr/bin/perl

# Many databases are compared with replicas in directories by a few jobs,
# without a program for each.  What hangs, is denied, is empty, or holds what
# is no LTX file, concerns one database only.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Storage;

use constant N => 40;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(24);

my $dir = $t->testdir;
my @alias = map { sprintf 'db%02d', $_ } 1 .. N;
my $dbs = join "\n", map {
    "    litestream_db $_ $dir/app/$_.db;"
} @alias;

$t->fake();
$t->db_dir($_) for qw/ app replica /;

$t->write_file_expand('nginx.conf', <<"EOC");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_restore blocking timeout=4s;
    litestream_replica file://%%TESTDIR%%/replica;
$dbs
    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOC

my $storage = Test::Litestream::Storage->new($t);
my %db = map {
    $_ => Test::Litestream::DB->make("$dir/app/$_.db", rows => 2)
} @alias;

# the first time: nothing is in any replica

$t->run(env => $storage->env);

is(states('replicating', @alias), N, 'all are replicating');
is(scalar($storage->opened('/replica/db07/ltx/0')), 1, 'compared once');
is(scalar(calls('ltx')), 0, 'no program was started for it');
is(scalar(calls('replicate')), 1, 'but one Litestream');

ok($t->stop(), 'stop');

# what was seen there is remembered

my $seen = (split ' ', (grep { /db03/ } split /\n/,
    $t->read_file('s/replicas'))[0] // '')[1];

my $txid = $db{db03}->txid("file://$dir/replica/db03");

# all that can be wrong with a replica, at once

$db{$_}->insert(1) for @alias;

my $r = "$dir/replica";

$t->as_user($db{db01}->user, 'mkdir', '-p', "$r/db04/generations/0a");
$t->as_user($db{db01}->user, 'touch', "$r/db05/ltx/0/$_")
    for '00000000000000FF-00000000000000FF.ltx',
        '00000000000000ff-00000000000000ff.ltx.tmp', 'x.ltx';
$t->as_user($db{db01}->user, 'touch',
    "$r/db06/ltx/0/00000000000000ff-00000000000000ff.ltx");
rename "$r/db07", "$dir/away" or die "rename() failed: $!\n";
rename "$r/db08/ltx/0", "$dir/away8" or die "rename() failed: $!\n";
$t->as_user($db{db01}->user, 'touch', "$r/db08/ltx/0");
chmod 0000, "$r/db09";
$t->as_user($db{db01}->user, 'sh', '-c', "echo no database >$dir/app/db10.db");

$storage->mode(map { "hang /replica/db$_/" } qw/ 11 12 13 /);
$t->write_file('fake/calls', '');

my $begin = $t->now;

$t->run(env => $storage->env);

my @bad = map { "db$_" } qw/ 06 07 08 09 10 11 12 13 /;
my %bad = map { $_ => 1 } @bad;
my @good = grep { !$bad{$_} } @alias;

is(states('replicating', @good), @good, 'what is right is replicating');
cmp_ok($t->now - $begin, '<', $t->ceiling(25), 'within seconds');

error('db06', qr/ahead of the database.*00000000000000ff/);
error('db07', qr/is\ empty,\ but\ (a\ backup|transaction\ [0-9a-f]{16})
    \ was\ seen\ there\ at\ .*is\ its\ storage\ mounted/x);
error('db08', qr!cannot be read: open \Q$r\E/db08/ltx/0: not a directory!);
error('db09', qr!cannot be read: open \Q$r\E/db09/ltx/\d: permission denied!);
error('db10', qr/is not a SQLite database/);
error("db$_", qr/replica "file:\S+\/db$_": no answer within the timeout/)
    for 11 .. 13;

is(states('replicating', @good), @good, 'still replicating');
is(scalar(calls('ltx')), 0, 'no program was started for any');

# all is repaired

$storage->mode();
unlink "$r/db06/ltx/0/00000000000000ff-00000000000000ff.ltx", "$r/db08/ltx/0";
rename "$dir/away", "$r/db07" or die "rename() failed: $!\n";
rename "$dir/away8", "$r/db08/ltx/0" or die "rename() failed: $!\n";
chmod 0755, "$r/db09";

my @again = grep { $_ ne 'db10' } @alias;

is(states('replicating', @again), @again, 'then all others are replicating');
is(join(' ', grep {
    $db{$_}->restore_count("file://$r/$_") != 3
} qw/ db01 db07 db09 db12 /), '', 'what was written meanwhile is there');

is($seen =~ /^[0-9a-f]{16}$/ ? 1 : 0, 1, 'a replica that was seen');
is($txid =~ /^[0-9a-f]{16}$/ ? 1 : 0, 1, 'and what Litestream lists');

# the supervisor ends with what hangs

$storage->mode('hang /replica/');
kill 'KILL', $t->litestream_pids;

ok($t->waituntil(sub { scalar(my @pids = $t->job_pids) }), 'a job that hangs');

# its silence is noticed while it is ended: no other job may follow it

my $since = $t->now;

ok($t->waituntil(sub { $t->now - $since > 1.2 }), 'for a while');
ok($t->stop(), 'stop');


sub states {
    my ($state, @names) = @_;

    my $n = 0;

    $t->waituntil(sub {
        my $st = $t->status || {};
        my %state = map { $_->{alias} => $_->{state} }
            @{ $st->{databases} || [] };

        $n = grep { ($state{$_} // '') eq $state } @names;
        return $n == @names;
    }, 60);

    return $n;
}


sub error {
    my ($alias, $re) = @_;

    my $error = '';

    $t->waituntil(sub {
        $error = ($t->database($alias) || {})->{error} // '';
        return $error =~ $re;
    }, 30);

    like($error, $re, "$alias: why not");
}


sub calls {
    my ($command) = @_;
    return grep { $_->[2] =~ /^$command/ } $t->fake_calls;
}
