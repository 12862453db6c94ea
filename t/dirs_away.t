#!/usr/bin/perl

# A directory of databases whose storage is not there: what is missing here and
# was seen there is never taken for new.  Blocking, nginx does not start; in
# the background, what is here is served and the rest is told until the storage
# is back.  restore=required with nothing anywhere is an error; replicate=off
# restores only.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use File::Path qw/ remove_tree /;
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(38);

my $dir = $t->testdir;

$t->db_dir($_) for qw! t t/x replica copy none !;

my %db = map { $_ => Test::Litestream::DB->make("$dir/t/$_.db", rows => 3) }
    'a', 'x/b';

conf();
$t->run();

is($t->waitforstate("t/$_.db", 'replicating'), 'replicating',
    "$_: replicating") for 'a', 'x/b';
ok($t->quit(), 'quit');

# The mount point of the storage is there, and empty.

my $user = $db{a}->user;

rename "$dir/replica", "$dir/away" or die "rename: $!\n";
$t->db_dir('replica');
$db{'x/b'}->remove;
remove_tree("$dir/t/x");

my ($rc, $err) = $t->try_run();

isnt($rc, 0, 'not mounted, one is missing: nginx does not start');
like($err, qr/directory "t": replica .* is empty, but .* missing were seen there/,
    'why');
like($err, qr/e\.g\. of "x\/b\.db": is its storage mounted\?$/m, 'which');
ok(!-e $db{'x/b'}->path, 'nothing is made');
is(join(' ', glob "$dir/replica/*"), '', 'nothing is written to it');

# what is here is served in the background

conf(restore => 'background');
$t->run();

is($t->waitforstate('t/a.db', 'error'), 'error', 'background: one is here');
like($t->database('t/a.db')->{error}, qr/mounted/, 'it is not replicated');
is($t->api('ready?db=t/a.db')->{ready}, 1, 'it is ready');
ok($t->waituntil(sub {
    return (directory('t')->{error} // '') =~ /e\.g\. of "x\/b\.db"/;
}), 'the missing one is told');
is(directory('t')->{state}, 'error', 'state of the directory');
is(response(http_get('/litestream/ready?db=t'))->{status}, 503, 'not ready');
is(join(' ', glob "$dir/replica/*"), '', 'nothing is written to it');

# it is mounted

rmdir "$dir/replica" or die "rmdir: $!\n";
rename "$dir/away", "$dir/replica" or die "rename: $!\n";

is($t->waitforstate('t/x/b.db', 'replicating', 60), 'replicating',
    'mounted: the missing one');
is($db{'x/b'}->count, 3, 'it is restored');
is($t->waitforstate('t/a.db', 'replicating', 60), 'replicating',
    'the other one is replicated');
ok($t->waituntil(sub {
    my $d = directory('t');
    return $d->{state} eq 'found' && !defined $d->{error};
}, 30), 'nothing is wrong any more');
is(response(http_get('/litestream/ready?db=t'))->{status}, 200, 'ready');
ok($t->quit(), 'quit');

# Not even the mount point is there; all are here: no database waits.

rename "$dir/replica", "$dir/away" or die "rename: $!\n";

conf();
$t->run();

is($db{a}->count, 3, 'no mount point, none is missing: nginx starts');
is($t->waitforstate('t/a.db', 'error|replicating'), 'error',
    'it is not replicated');
is($t->api('ready?db=t/a.db')->{ready}, 1, 'it is ready');
ok($t->quit(), 'quit');
ok(!-e "$dir/replica", 'no replica is made in its place')
    or diag(join ' ', glob "$dir/replica/*");

rename "$dir/away", "$dir/replica" or die "rename: $!\n" unless
    -e "$dir/replica";

# restore=required

conf(t => 'restore=required');
remove_tree("$dir/t/x");
unlink glob "$dir/t/a.db*";
remove_tree("$dir/t/.a.db-litestream");

$t->run();

is($db{$_}->count, 3, "required, there is a backup: $_") for 'a', 'x/b';
ok($t->quit(), 'quit');

conf(none => 'restore=required');

($rc, $err) = $t->try_run();

isnt($rc, 0, 'required, there is none: nginx does not start');
like($err, qr/directory "none": replica .* holds no backup, and restore=required/,
    'why');

# replicate=off: a copy of what others replicate

conf(copy => 'replica=file://%%TESTDIR%%/replica/t/$file replicate=off');
$t->run();

my %copy = map { $_ => Test::Litestream::DB->new("$dir/copy/$_.db") } keys %db;

is($copy{$_}->count, 3, "off: $_ is restored") for 'a', 'x/b';

my $before = $t->tree("$dir/replica");

$copy{a}->insert(5, 'mine');
is(join(' ', map { "$_->{alias} $_->{state}" }
    sort { $a->{alias} cmp $b->{alias} } @{ $t->status->{databases} }),
    'copy/a.db new copy/x/b.db new', 'off: state');

Test::Litestream::DB->make("$dir/copy/mine.db", rows => 1);
is($t->waitforstate('copy/mine.db', 'new', 30), 'new', 'off: a new one');
is(scalar(my @none = $t->litestream_pids), 0, 'off: no Litestream');
ok($t->quit(), 'quit');
is(join(' ', changed()), '', 'off: the replica is as it was');


sub changed {
    my $now = $t->tree("$dir/replica");
    my %all = (%$before, %$now);

    return grep { ($before->{$_} // '') ne ($now->{$_} // '') } keys %all;
}


sub directory {
    my ($alias) = @_;
    return (grep { $_->{alias} eq $alias }
        @{ ($t->status || {})->{directories} || [] })[0] || {};
}


sub conf {
    my (%opt) = @_;

    my $restore = delete $opt{restore} // 'blocking';
    my ($alias) = (keys %opt, 't')[0];
    my $more = $opt{$alias} // '';

    $t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_restore  $restore;
    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       $alias %%TESTDIR%%/$alias/**/*.db $more;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOF
}
