#!/usr/bin/perl

# A verification that is under way when one supervisor hands over to another
# is begun again by the new one: the client gets its answer, and no failure is
# reported to anybody.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(12);

$t->fake();

conf('30s');

my $db = $t->db('app', rows => 7);

$t->db_dir('replica');
$t->run();

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
is(post()->{verified}, 1, 'verified');

my $super = $t->supervisor_pid;

$t->fake_mode('restore: hang');

my @calls = map { http_post($_, '', start => 1) }
    '/litestream/verify/app', '/litestream/verify/app?mode=full',
    '/litestream/verify';

ok($t->waituntil(sub { $t->job_pids }), 'under way');

my $mark = $t->log_mark;

conf('29s');
ok($t->reload(), 'reload');
ok($t->waituntil(sub {
    my $pid = $t->supervisor_pid;
    return $pid && $pid != $super;
}), 'another supervisor');

$t->fake_mode();

my @r = map { response(http_end($_)) } @calls;

is(join(' ', map { $_->{status} } @r), '200 200 200', 'all are answered');
is(() = join('', map { $_->{body} } @r) =~ /"verified":true/g, 3, 'verified');
is(json($r[1]{body})->{mode}, 'full', 'in the mode that was asked for');
is($t->api('verify/app')->{verified}, 1, 'GET verify');
is(join("\n", $t->read_log(qr/not verified/, $mark)), '', 'no failure');

# the row of the one that was ended has gone, too

is($db->sql("SELECT count(*) FROM sqlite_master WHERE name = "
    . "'_litestream_verification';"), 0, 'no table left');
is(join(' ', glob $t->testdir . '/s/*/run/verify-*'), '', 'no copy left');


sub post { return $t->api('verify/app', method => 'POST', body => '') }


sub conf {
    my ($timeout) = @_;

    $t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_shutdown_timeout  $timeout;
    litestream_replica           file://%%TESTDIR%%/replica;
    litestream_db                app %%TESTDIR%%/app/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOF
}
