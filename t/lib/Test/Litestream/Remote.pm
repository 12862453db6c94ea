package Test::Litestream::Remote;

# What a storage on the network must be able to show, whatever it speaks: each
# sub is a number of tests, of a database "app" that has a replica there.
#
#   my $r = Test::Litestream::Remote->new($t, $server, 'backups/prod/app');
#
#   $r->cycle();     # replicated, verified, lost, restored, continued
#
# $server is a Test::Litestream::Server; nginx.conf is there.

use warnings;
use strict;

use File::Path qw/ remove_tree /;
use Test::More;

use Test::Litestream::HTTP qw/ http_post response /;


# path: that of the replica, for a restore by Litestream itself; db => one that
# is there already

sub new {
    my ($class, $t, $server, $path, %opt) = @_;

    my $db = $opt{db} // $t->db('app', rows => 3);

    return bless { t => $t, server => $server, path => $path, db => $db,
        rows => $db->count }, $class;
}


sub db { return $_[0]{db} }


# another storage, for which nothing of Litestream's is left

sub server {
    my ($self, $server) = @_;

    $self->{server} = $server;
    remove_tree($self->{db}->meta);
}


# rows of the database, which has some more from now on

sub insert {
    my ($self, $n) = @_;
    return $self->{rows} = $self->{db}->insert($n);
}


# rows that a restore by Litestream itself brings back

sub restored {
    my ($self, %opt) = @_;
    return $self->{server}->restore_count($self->{path}, %opt);
}


# 18 tests, nginx is left running

sub cycle {
    my ($self, $type, $url) = @_;

    my ($t, $db) = @$self{qw/ t db /};

    $t->run();

    is($t->waitforstate('app', 'replicating', 30), 'replicating',
        'replicated');

    my $status = $t->database('app');

    is($status->{replica}{type}, $type, 'status: type');
    is($status->{replica}{url}, $url, 'status: URL');
    is($status->{error}, undef, 'status: no error');

    my $rows = $self->insert(4);

    synced($t, 'rows are');
    is($self->restored, $rows, 'all rows are in the replica');

    my $r = $t->api('verify/app', method => 'POST');

    is($r->{verified} ? 1 : 0, 1, 'verified');
    is($r->{error}, undef, 'verified: no error');

    is($t->stop(), 1, 'stopped');

    # lost with the machine

    $db->remove();
    $t->run();

    is($db->count, $rows, 'restored before nginx serves');
    is($t->waitforstate('app', 'replicating', 30), 'replicating',
        'replicated again');

    $status = $t->database('app');

    is($status->{restore}{state}, 'done', 'status: restored');
    ok($status->{history}{from}, 'status: history');

    $rows = $self->insert(1);

    synced($t, 'a row of the restored one is');
    is($self->restored, $rows, 'the replica goes on');

    # a reload changes nothing

    my ($pid) = $t->litestream_pids();

    is($t->reload(), 1, 'reload');
    is(($t->litestream_pids())[0], $pid, 'reload: the same Litestream');

    # its secrets are where Litestream needs them

    my ($yml) = glob $t->state_path . "/*-$type-*/litestream.yml";

    is(sprintf('%04o', (stat $yml)[2] & 07777), '0400', 'litestream.yml: mode');
}


# how long things take is told, for the documentation

sub took {
    my ($t, $what, $from) = @_;
    note(sprintf '%s after %.1f s', $what, $t->now - $from);
}


sub synced {
    my ($t, $name) = @_;

    my $r = $t->api('sync/app?timeout=30s', method => 'POST');

    is($r->{synced} ? 1 : 0, 1, "$name synced") or diag($r->{error});
}


# The storage says no: 9 tests, nginx.conf is about that.  why: a pattern of
# the reason; secret: that must not be seen anywhere

sub denied {
    my ($self, $name, $why, $secret) = @_;

    my ($t, $db) = @$self{qw/ t db /};

    # present

    my $from = $t->now;

    $t->run();

    is($t->waitforstate('app', 'error', 15), 'error', "$name: error");
    took($t, "$name: error", $from);
    like($t->database('app')->{error} // '', $why, "$name: the reason");
    cmp_ok($t->now - $from, '<', $t->ceiling(10), "$name: in seconds");
    is($t->api('ready')->{ready} ? 1 : 0, 1, "$name: ready");

    $t->stop();

    # missing

    rename $db->path, $db->path . '-kept';
    $from = $t->now;

    my ($rc, $err) = $t->try_run();

    took($t, "$name: missing", $from);
    isnt($rc, 0, "$name: missing, nginx does not start");
    like($err, $why, "$name: missing, the reason");
    cmp_ok($t->now - $from, '<', $t->ceiling(10), "$name: missing, at once");
    is(-e $db->path ? 1 : 0, 0, "$name: missing, nothing is made");

    ok(!grep({ index($_, $secret // "\0") >= 0 } $t->read_log(), $err),
        "$name: no secret in the log");

    $t->stop() unless $rc;
    rename $db->path . '-kept', $db->path;
}


# The storage is down when nginx starts, 11 tests.  why: a pattern of the
# reason; nginx.conf has litestream_restore timeout=8s.

sub away {
    my ($self, $why) = @_;

    my ($t, $db, $server) = @$self{qw/ t db server /};

    $server->stop();

    my $from = $t->now;

    $t->run();

    cmp_ok($t->now - $from, '<', $t->ceiling(6), 'away: nginx starts at once');
    is($t->api('ready')->{ready} ? 1 : 0, 1, 'away: ready');
    ok($t->waituntil(sub { ($t->database('app')->{error} // '') =~ $why }, 10),
        'away: the reason comes');
    took($t, 'away: the reason', $from);
    is($t->waitforstate('app', 'error', 20), 'error', 'away: an error');
    took($t, 'away: error', $from);
    like($t->database('app')->{error}, $why, 'away: the reason stays');

    $server->start();
    $from = $t->now;

    is($t->waitforstate('app', 'replicating', 60), 'replicating',
        'away: replicated when it is back');
    took($t, 'away: back', $from);
    is($t->database('app')->{error}, undef, 'away: no error then');

    $t->stop();

    # missing

    $server->stop();
    rename $db->path, $db->path . '-kept';

    $from = $t->now;

    my ($rc, $err) = $t->try_run(ceiling => 40);

    took($t, 'away: missing', $from);
    isnt($rc, 0, 'away: missing, nginx does not start');
    like($err, $why, 'away: missing, the reason');
    cmp_ok($t->now - $from, '<', $t->ceiling(20),
        'away: missing, within the timeout');
    is(-e $db->path ? 1 : 0, 0, 'away: missing, nothing is made');

    $t->stop() unless $rc;
    rename $db->path . '-kept', $db->path;

    $server->start();
}


# The storage goes while an application writes, by TERM as a machine that is
# shut down, and comes back after so many seconds: 12 tests

sub gone {
    my ($self, $why, $seconds) = @_;

    my ($t, $db, $server) = @$self{qw/ t db server /};

    $self->_outage('gone', $why, $seconds // 30, sub { $server->stop() },
        sub { $server->start() });
}


# It does not answer any more, but takes connections: 24 tests

sub hangs {
    my ($self, $why) = @_;

    my ($t, $db, $server) = @$self{qw/ t db server /};

    $self->_outage('hangs', $why, 8, sub { $server->signal('STOP') },
        sub { $server->signal('CONT') });

    # and what nginx does then: it ends

    $server->signal('STOP');
    $self->insert(1);

    my $from = $t->now;

    is($t->quit(), 1, 'hangs: nginx quits');
    took($t, 'hangs: quit', $from);
    cmp_ok($t->now - $from, '<', $t->ceiling(15),
        'hangs: not later than it may');

    # a missing database

    rename $db->path, $db->path . '-kept';
    $from = $t->now;

    my ($rc, $err) = $t->try_run(ceiling => 40);

    took($t, 'hangs: missing', $from);
    isnt($rc, 0, 'hangs: missing, nginx does not start');
    like($err, $why, 'hangs: missing, the reason');
    cmp_ok($t->now - $from, '<', $t->ceiling(20),
        'hangs: missing, within the timeout');
    is(-e $db->path ? 1 : 0, 0, 'hangs: missing, nothing is made');

    $t->stop() unless $rc;
    rename $db->path . '-kept', $db->path;

    # it is there

    $from = $t->now;

    $t->run();

    cmp_ok($t->now - $from, '<', $t->ceiling(6), 'hangs: nginx starts at once');
    is($t->waitforstate('app', 'error', 25), 'error', 'hangs: an error');
    took($t, 'hangs: error', $from);
    like($t->database('app')->{error}, $why, 'hangs: the reason');

    $server->signal('CONT');

    is($t->waitforstate('app', 'replicating', 60), 'replicating',
        'hangs: replicated when it answers');
    synced($t, 'hangs: all is');
    is($self->restored, $self->{rows}, 'hangs: all rows are in the replica');

    $t->stop();
}


sub _outage {
    my ($self, $name, $why, $seconds, $begin, $end) = @_;

    my ($t, $db) = @$self{qw/ t db /};

    $t->run();
    is($t->waitforstate('app', 'replicating', 60), 'replicating',
        "$name: replicated before");

    my $writer = $db->writer(rate => 10);

    $writer->wait(5, 10);
    $begin->();

    my $from = $t->now;
    my $r = http_post('/litestream/sync/app?timeout=2s', '');

    like($r, qr/ 50[34] .*"synced":false/s, "$name: not synced");
    cmp_ok($t->now - $from, '<', $t->ceiling(6), "$name: within its timeout");
    like($t->waitforstate('app', 'lagging|error', 20), qr/lagging|error/,
        "$name: state");
    took($t, "$name: state", $from);
    cmp_ok($t->now - $from, '<', $t->ceiling(20), "$name: in time");
    ok($t->waituntil(sub { ($t->database('app')->{error} // '') =~ $why }, 20),
        "$name: the reason") or diag(explain($t->database('app')));
    took($t, "$name: the reason", $from);
    is($t->api('ready')->{ready} ? 1 : 0, 1, "$name: ready all the same");

    $t->waituntil(sub { $t->now - $from > $seconds }, $seconds + 1, 0.1);
    $end->();
    $from = $t->now;

    is($t->waitforstate('app', 'replicating', 60), 'replicating',
        "$name: replicated afterwards");
    took($t, "$name: back", $from);
    is($t->database('app')->{error}, undef, "$name: no error then");

    my @acked = $writer->stop;

    cmp_ok(scalar @acked, '>', 5 * $seconds, "$name: the writer went on");
    synced($t, "$name: all is");

    $self->{rows} = $db->count;
    is($self->restored, $self->{rows}, "$name: all rows are in the replica");

    $t->stop() if $name eq 'gone';
}


1;
