#!/usr/bin/perl

# A replica on SFTP: the examples of docs/replicas.md as they stand there, with
# a key and with a password; then a server that says no, that is away, that
# goes, and that hangs, where nothing but a KILL ends a Litestream.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use File::Copy qw/ copy /;
use Test::Litestream;
use Test::Litestream::CLI;
use Test::Litestream::Docs;
use Test::Litestream::Proc;
use Test::Litestream::Remote;
use Test::Litestream::SSH;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3 ssh-keygen/)->plan(114);

my $dir = $t->testdir;
my (undef, undef, $uid, $gid) = $t->user;

my $ssh = Test::Litestream::SSH->new($t);
my $r = Test::Litestream::Remote->new($t, $ssh, 'app');

my $said = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI...';

# the example with a key

$ssh->start();

copy($ssh->key_path, "$dir/backup_ed25519") or die "copy() failed: $!\n";
chown $uid, $gid, "$dir/backup_ed25519" if $> == 0;
chmod 0600, "$dir/backup_ed25519";

Test::Litestream::Docs->conf($t, 'SFTP',
    map => [ 'backup@backup.example.com' => $ssh->user . '@' . $ssh->addr,
        '/srv/backups' => "$ssh->{dir}/data", $said => $ssh->host_key ]);

$r->cycle('sftp', 'sftp://' . $ssh->user . '@' . $ssh->addr
    . "$ssh->{dir}/data/app");
$t->stop();

# the servers say no

my $pw = Test::Litestream::SSH->new($t, password => 1, user => 'backup');

$pw->start();

conf(key => $ssh->key('wrong'));
chown $uid, $gid, "$ssh->{dir}/wrong" if $> == 0;
$r->denied('wrong key', qr/unable to authenticate/);

conf(host_key => join ' ', (split ' ',
    $t->read_file("$ssh->{dir}/wrong.pub"))[0, 1]);
$r->denied('wrong host key', qr/host key mismatch/);

conf(key => "$dir/no-such-key");
$r->denied('no key', qr/cannot read sftp key path: open $dir\/no-such-key/);

conf(server => $pw, password => 'v3ry-wrong');
$r->denied('wrong password', qr/unable to authenticate/, 'v3ry-wrong');

# it is away, it goes, it hangs

my $endpoint = 'sftp://' . $ssh->addr;

conf();

$r->away(qr/dial tcp \Q${\ $ssh->addr }\E: connect: connection refused/);
$r->gone(qr/connection refused/, 10);
$r->hangs(qr/"\Q$endpoint\E" takes connections, but has not answered/);

# a stop does not wait for it; who does not end then, whatever it is told, is
# killed after litestream_shutdown_timeout, though its supervisor has gone

$t->run();

is($t->waitforstate('app', 'replicating', 30), 'replicating', 'stop: before');

my @pids = $t->litestream_pids;

$ssh->signal('STOP');
$r->insert(1);

my $from = $t->now;

$t->stop();
cmp_ok($t->now - $from, '<', $t->ceiling(8), 'stop: in seconds');
ok($t->waituntil(sub { !grep { Test::Litestream::Proc::alive($_) } @pids }, 15),
    'stop: Litestream has been ended');

$ssh->signal('CONT');
$t->run();

is($t->waitforstate('app', 'replicating', 30), 'replicating', 'stop: after');
is($t->api('sync/app?timeout=30s', method => 'POST')->{synced} ? 1 : 0, 1,
    'stop: synced');
is($r->restored, $r->db->count, 'stop: all rows are in the replica');

$t->stop();

# the example with a password

Test::Litestream::Docs->conf($t, 'SFTP', n => 2,
    env => { SFTP_PASSWORD => $pw->password },
    map => [ 'backup.example.com' => $pw->addr, $said => $pw->host_key ]);

is((cli($t, 'reset', 'app'))[0], 0, 'a password: another replica');
$t->run();

is($t->waitforstate('app', 'replicating', 30), 'replicating', 'a password');
is($t->database('app')->{replica}{url}, 'sftp://backup@' . $pw->addr
    . '/srv/backups/app', 'a password: status: URL');

my $rows = $r->insert(1);

is($t->api('sync/app', method => 'POST')->{synced} ? 1 : 0, 1,
    'a password: synced');
is($pw->restore_count('srv/backups/app'), $rows,
    'a password: all rows are in the replica');
is($t->api('verify/app', method => 'POST')->{verified} ? 1 : 0, 1,
    'a password: verified');
is(join('', grep { /\Q${\ $pw->password }\E/ } map {
    Test::Litestream::Proc::cmdline($_) } Test::Litestream::Proc::pids()), '',
    'a password: in no arguments');


sub conf {
    my (%opt) = @_;

    my $server = $opt{server} // $ssh;
    my $key = $opt{key} // $ssh->key_path;
    my $host_key = $opt{host_key} // $server->host_key;
    my $password = $opt{password} ? 'password=${PASSWORD}' : "key_path=$key";

    $t->write_file('env', 'PASSWORD=' . ($opt{password} // '') . "\n");
    chmod 0600, "$dir/env";

    $t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_env_file          %%TESTDIR%%/env;
    litestream_restore           blocking timeout=8s;
    litestream_shutdown_timeout  5s;

    litestream_replica  sftp://${\ $server->user }\@${\ $server->addr }${\
                        $server->path('') } $password "host_key=$host_key";
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api write=on;
        }
    }
}

EOF
}
