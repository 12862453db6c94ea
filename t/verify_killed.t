#!/usr/bin/perl

# A verification runs as the user of the database, never as root.  One that is
# killed, or whose restore hangs, is reported; it leaves nothing behind, and
# the next one works.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(27 - ($> && 2))
    ->expect_alerts(qr/litestream supervisor process \d+ exited on signal 9/);

my $dir = $t->testdir;
my (undef, undef, $uid, $gid) = $t->user;

$t->fake();

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_restore  background timeout=2s;
    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOF

my $db = $t->db('app', rows => 7);

$t->db_dir('replica');
$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

my ($run) = glob "$dir/s/*/run";
my $schema = $db->sql('SELECT * FROM sqlite_master;');

# who it is

$t->fake_mode('restore: await go');

my ($call, $job) = start();
my $who = $t->uid_of($job);

is("@{ $who->{uid} }", join(' ', ($uid) x 4), 'uids of the job');
is("@{ $who->{gid} }", join(' ', ($gid) x 4), 'gids of the job');

if ($> == 0) {
    is(join(' ', grep { $_ == 0 } @{ $who->{groups} }), '',
        'not in the group of root');
    is(hex $who->{capabilities}, 0, 'no capability');
}

my $copy = "$run/verify-app.db.tmp";

$t->write_file('fake/go', '');

is(finish($call)->{verified}, 1, 'verified');
is(join(' ', map { $_->[1] } grep { $_->[2] =~ /^restore .*\/verify-/ }
    $t->fake_calls), $uid, 'the restore, too');

# killed while it restores

$t->fake_mode('restore: hang');

($call, $job) = start();

my ($table) = $db->sql('SELECT count(*) FROM _litestream_verification;');
my @with = $t->litestream_pids(any => 1);

is($table, 1, 'its row is there');
$t->as_user($uid, 'sh', '-c', "echo x >$copy");
$t->fake_mode();
$t->signal('KILL', $job);

my $r = finish($call);

is("$r->{status} $r->{verified}", '503 0', 'killed');
like($r->{error}, qr/"verify" ended on signal 9/, 'killed: why');
is(get()->{error}, $r->{error}, 'killed: as GET says');
ok($t->waituntil(\&clean), 'killed: nothing is left') or diag(left());
is(post()->{verified}, 1, 'the next one works');

# asked while what was left is being taken away

$t->fake_mode('restore: hang');

($call, $job) = start();

$t->fake_mode();
$t->signal('KILL', $job);

my $next = http_post('/litestream/verify/app', '', start => 1);

is(finish($call)->{verified}, 0, 'killed once more');
like(finish($next)->{verified}, qr/^[01]$/, 'who comes right after it');
is(post()->{verified}, 1, 'and then');
ok($t->waituntil(\&clean), 'nothing is left') or diag(left());

# the restore makes no progress

$t->fake_mode('restore: hang');

$r = post();

is("$r->{status} $r->{verified}", '503 0', 'a restore that hangs');
like($r->{error}, qr/no progress within 2 s/, 'why');
ok($t->waituntil(\&clean), 'nothing is left') or diag(left());

$t->fake_mode();
is(post()->{verified}, 1, 'the next one works');

# the supervisor is killed: its successor is asked, while it does not know yet
# which Litestream it has

$t->fake_mode('restore: hang');

($call, $job) = start();

$t->as_user($uid, 'sh', '-c', "echo x >$run/verify-old.db.tmp");
$t->fake_mode('version: sleep 1500');
$t->signal('KILL', $t->supervisor_pid);

$r = finish($call);

is("$r->{status} $r->{verified}", '200 1', 'by the successor')
    or diag($r->{error});
ok($t->waituntil(\&clean), 'nothing is left') or diag(left());
is(join(' ', grep { -e } glob "$run/verify-*"), '', 'no copy, however old');

# nginx ends under it

$t->fake_mode('restore: hang');

($call, $job) = start();

ok($t->stop(), 'stop');
ok(clean(), 'nothing is left') or diag(left());
is($db->integrity, 'ok', 'integrity');


# one that has written its row and is restoring

sub start {
    my $n = () = $t->fake_calls;
    my $s = http_post('/litestream/verify/app', '', start => 1);

    $t->waituntil(sub {
        my @calls = $t->fake_calls;
        return @calls > $n && grep { $_->[2] =~ /^restore / }
            @calls[$n .. $#calls];
    });

    return ($s, ($t->job_pids)[0]);
}


sub finish {
    my $r = response(http_end($_[0]));
    return { %{ json($r->{body}) }, status => $r->{status} };
}


sub post { return finish(http_post('/litestream/verify/app', '', start => 1)) }
sub get { return json(response(http_get('/litestream/verify/app'))->{body}) }


sub left {
    opendir my $d, $run or die "opendir($run) failed: $!\n";

    my @files = grep { !/^\.\.?$|^litestream\.sock$/ } readdir $d;
    my $sql = $db->sql('SELECT * FROM sqlite_master;');

    return join ' ', @files, $db->beside, $sql eq $schema ? () : $sql;
}


sub clean { return left() eq '' }
