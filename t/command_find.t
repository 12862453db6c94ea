#!/usr/bin/perl

# Where nginx-litestream looks for the state: -path, LITESTREAM_STATE_PATH,
# what nginx -T prints, the default.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::CLI;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(29);

my $dir = $t->testdir;

$t->state_path(undef);

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    include             %%TESTDIR%%/more/*.conf;

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;

    server {
        listen  127.0.0.1:8080;
        # litestream_state_path /nonexistent/comment;

        location /litestream/ {
            litestream_api;
        }

        location /text {
            return 200 "litestream_state_path /nonexistent/text;";
        }
    }
}

EOF

mkdir "$dir/more";
$t->write_file('more/a.conf',
    "keepalive_timeout 60s; litestream_state_path \"$dir/st/\" ;\n");

$t->db('app', rows => 3);
$t->db_dir('replica');
$t->run();

# without the workers' port: it is the only one here

my @conf = ('-nginx', $t->{nginx}, '-c', "$dir/nginx.conf", '-g',
    "error_log $dir/error.log;", '-p', "$dir/");

$t->write_file('nginx.conf', $t->read_file('nginx.conf')
    =~ s/^error_log.*\n//mr);

my $other = "$dir/elsewhere";
my $elsewhere = qr/no "\Q$other\E\/status"/;

sub run { return cli($t, { state => 0, @_ ? %{ $_[0] } : () }, @_[1 .. $#_]) }

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');

# said

is((run({}, 'status', '-path', "$dir/st"))[0], 0, '-path');
is((run({}, '-path', "$dir/st///", 'status'))[0], 0,
    '-path before the command, with slashes');
is((run({}, 'status', "--path=$dir/st"))[0], 0, '--path=');
is((run({ env => { LITESTREAM_STATE_PATH => $other } }, 'status', '-path',
    "$dir/st"))[0], 0, '-path comes before the environment');
is((run({}, 'status', '-path', ''))[0], 2, 'an empty path');
is((run({}, 'status', '-path', '/x' x 3000))[0], 2, 'a very long path');

my ($rc, $out, $err) = run({}, 'status', '-path', $other);

is($rc, 3, 'another path: exit code');
like($err, $elsewhere, 'another path');

# the environment

$ENV{LITESTREAM_STATE_PATH} = "$dir/st";
is(($t->command(cli_path($t), 'status'))[0], 0, 'environment');
$ENV{LITESTREAM_STATE_PATH} = $other;

($rc, $out, $err) = $t->command(cli_path($t), 'status');

is($rc, 3, 'environment, elsewhere: exit code');
like($err, $elsewhere, 'environment, elsewhere');
is(($t->command(cli_path($t), 'status', @conf))[0], 0,
    'a configuration that is said comes before it');
delete $ENV{LITESTREAM_STATE_PATH};

# nginx -T, which must not take anything for its sockets

$ENV{NGINX} = '3;';
($rc, $out, $err) = run({}, 'status', @conf);
delete $ENV{NGINX};

is("$rc$err", '0', 'nginx -T') or diag($out);

is((run({}, 'sync', 'app', @conf))[0], 0, 'nginx -T: sync');

# that fails

$t->write_file('bad.conf', "events { }\nbad on;\n");

($rc, $out, $err) = run({}, 'status', '-nginx', $t->{nginx}, '-c',
    "$dir/bad.conf");

is($rc, 2, 'nginx -T fails: exit code');
like($err, qr/^nginx-litestream: nginx -T failed: .*unknown directive "bad"/,
    'nginx -T fails');

is((run({}, 'status', '-nginx', '/nonexistent/nginx'))[0], 2,
    'no such nginx: exit code');

# found in PATH; without a directive it is the default

nginx("cat <<'EOC'", "http {", "}", 'EOC');

($rc, $out, $err) = by_path('status');

is($rc, 3, 'the default: exit code');
like($err, qr!no\ "/var/lib/nginx-litestream/status",\ or\ it\ has\ another\ .*:\ say
    \ -c\ FILE\ or\ -path\ DIR$!x, 'the default, and where else it may be');

nginx("cat <<'EOC'", "\tlitestream_state_path '$dir/st';", 'EOC');
is((by_path('status'))[0], 0, 'found in PATH');

nginx("cat <<'EOC'", 'litestream_state_path ${DIR}/x;', 'EOC');
($rc, $out, $err) = by_path('status');
is($rc, 2, 'a variable: exit code');
like($err, qr/say -path DIR/, 'a variable');

nginx('echo "nginx: [emerg] no such thing" >&2', 'exit 1');
($rc, $out, $err) = by_path('status');

is($rc, 3, 'nginx fails: exit code');
like($err, qr/no such thing$/, 'nginx fails: said beside the default');

# one that hangs is not waited for, nor left behind

nginx('exec sleep 1000');

my $begin = $t->now;

($rc, $out, $err) = by_path('status');

is($rc, 3, 'nginx hangs: exit code');
like($err, qr/nginx -T did not end within 10 s/, 'nginx hangs');
cmp_ok($t->now - $begin, '<', 20, 'nginx hangs: not for long');

my ($pid) = do {
    local $ENV{PATH} = "$dir/bin:$ENV{PATH}";
    cli_start($t, { state => 0 }, 'wait', 'app');
};

$t->waituntil(sub { Test::Litestream::Proc::children($pid) });
kill 'INT', $pid;
is(Test::Litestream::Command::wait_for($pid, 5), 130, 'nginx hangs: SIGINT');


sub nginx {
    mkdir "$dir/bin";
    $t->write_file('bin/nginx', join "\n", '#!/bin/sh', @_, '');
    chmod 0755, "$dir/bin/nginx";
}


sub by_path {
    return run({ env => { PATH => "$dir/bin:$ENV{PATH}" } }, @_);
}
