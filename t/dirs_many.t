#!/usr/bin/perl

# A thousand databases below one directory: each is replicated and has a status
# of its own, the supervisor needs little memory for them, and those that come
# later join them without a pause.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use File::Copy qw/ copy /;
use Test::Litestream;
use Test::Litestream::Command qw/ ids /;
use Test::Litestream::Proc qw/ slurp /;

use constant N => 1000;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(20)->patience(60);

my $dir = $t->testdir;

# without debug messages, which would be more work than all the rest

my $globals = $t->globals =~ s/ (debug|info);/ notice;/r;

$t->write_file_expand('nginx.conf', <<"EOF");

$globals

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       tenants %%TESTDIR%%/tenants/**/*.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOF

$t->db_dir($_) for 'tenants', 'replica', map { "tenants/$_" } 0 .. 9;

my $template = Test::Litestream::DB->make($t->db_dir('like') . '/it',
    rows => 3, wal => 0);

my @names = map { sprintf '%d/%04d', $_ % 10, $_ } 1 .. N;

place($_) for @names;

$t->run(ceiling => 120);

ok($t->waituntil(sub { replicating() == N }, 120, 0.5),
    'all are replicating');

my $st = $t->status;
my @want = sort map { "tenants/$_.sqlite3" } @names;

is(join(' ', sort map { $_->{alias} } @{ $st->{databases} }), "@want",
    'these and no others');

my @odd = grep {
    my ($name) = $_->{alias} =~ m!^tenants/(.+)!;

    $_->{path} ne "$dir/tenants/$name"
        || $_->{replica}{url} ne "file://$dir/replica/tenants/$name"
        || !defined $_->{lag_seconds}
} @{ $st->{databases} };

is(scalar @odd, 0, 'each with what is its own');
is($st->{ready}, 1, 'ready');
is(join(' ', grep { defined } map { $_->{error} } @{ $st->{databases} },
    @{ $st->{directories} }), '', 'nothing is wrong');
is("@{ $st->{directories}[0] }{qw/ state databases /}", 'found ' . N,
    'the directory');

my @pids = $t->litestream_pids;

is(scalar @pids, 1, 'one Litestream');

# all that is the supervisor's own, not only what the databases have added

my $super = $t->supervisor_pid;

memory('memory of the supervisor');

is(scalar(grep { -d "$dir/replica/tenants/$_.sqlite3/ltx/0" } @names), N,
    'a replica for each');
is(join(' ', map { rows($names[$_]) } 0, N / 2, N - 1), '3 3 3',
    'the first, one in the middle and the last can be restored');

# ten more, in a directory that is there and in a new one

$t->db_dir('tenants/late');

my @more = map { $_ % 2 ? "late/$_" : "3/late$_" } 1 .. 10;

place($_) for @more;

ok($t->waituntil(sub {
    my %is = map { $_ => 1 } map { /"alias":"([^"]+)"/g } body();
    return 10 == grep { $is{"tenants/$_.sqlite3"} } @more;
}, 60, 0.2), 'ten more are found');
ok($t->waituntil(sub { replicating() == N + 10 }, 60, 0.5),
    'and replicating');
is(join(' ', map { rows($_) } @more), join(' ', (3) x 10),
    'they can be restored');
is(join(' ', $t->litestream_pids), "@pids", 'the same Litestream');
is($t->supervisor_pid, $super, 'the same supervisor');
memory('memory, later');

# the last commits of some, right before the end

my @last = (@names[0, N - 1], $more[0]);

Test::Litestream::DB->new("$dir/tenants/$_.sqlite3")->insert(1, 'last')
    for @last;

ok($t->quit(ceiling => 90), 'quit');
is(join(' ', map { rows($_, "v = 'last'") } @last), '1 1 1',
    'the last commits are in the replicas');
is(scalar(@pids = $t->litestream_pids(any => 1)), 0, 'Litestream has ended');
is(join("\n", $t->read_log(qr/\[(error|crit|emerg)\]/)), '', 'no error');


sub place {
    my ($name) = @_;

    my $new = "$dir/tenants/$name.new";

    copy($template->path, $new) or die "copy($new) failed: $!\n";
    chown ids($template->user), $new if $> == 0;
    rename $new, "$dir/tenants/$name.sqlite3" or die "rename: $!\n";
}


sub rows {
    my ($name, $where) = @_;
    return $template->restore_count(
        "file://$dir/replica/tenants/$name.sqlite3", where => $where);
}


# as text: to take it apart takes a second

sub body {
    my $r = response(http_get('/litestream/status'));
    return $r ? $r->{body} : '';
}


sub replicating { return scalar(() = body() =~ /"state":"replicating"/g) }


sub memory {
    my ($name) = @_;

    my $text = slurp("/proc/$super/smaps_rollup");
    my ($kb) = $text =~ /^Private_Dirty:\s+(\d+) kB$/m or die $text;

    note("$kb kB");
    cmp_ok($kb, '<=', 8 * 1024, $name);
}
