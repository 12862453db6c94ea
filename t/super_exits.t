#!/usr/bin/perl

# Litestream ends again and again: the status tells why, the delays grow, the
# databases are served, and all is well as soon as it is.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(22);

my $dir = $t->testdir;

$t->fake();

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

my $db = $t->db('app', rows => 3);
$t->db_dir('replica');

# at once, with a reason; 2 is what tells nginx not to respawn a process

for my $code (1, 2) {
    $t->fake_mode('stderr Error: the reason is %PID%', "exit $code");

    my $mark = $t->log_mark;
    $t->run();

    my $re = qr/group \S+ is started again in/;

    ok($t->waituntil(sub { 2 <= $t->read_log($re, $mark) }, 20),
        "exit $code: started again and again");

    my $group;

    ok($t->waituntil(sub {
        $group = $t->status()->{litestream}[0];
        return $group->{state} eq 'backoff' && $group->{restarts} >= 2;
    }), "exit $code: state, restarts");
    is($group->{pid}, undef, "exit $code: no process");
    like($group->{last_exit},
        qr/^exited with code $code: Error: the reason is \d+$/,
        "exit $code: the reason is told");
    like($t->database('app')->{error},
        qr/^litestream exited with code $code: Error: the reason/,
        "exit $code: by the database, too");
    like(http_get('/litestream/ready'), qr/ 200 /,
        "exit $code: the database is served");
    is($t->status()->{supervisor}{restarts}, 0,
        "exit $code: the supervisor lives");

    my @delays = map { /again in (\d+) ms/ } $t->read_log($re, $mark);

    is("@delays[0, 1]", '1000 2000', "exit $code: delays grow");

    $t->fake_mode();

    is($t->waitforstate('app', 'replicating'), 'replicating',
        "exit $code: then it replicates");
    is($t->database('app')->{error}, undef, "exit $code: no error any more");

    $db->insert(1);
    ok($t->quit(), "exit $code: quit");
}
