#!/usr/bin/perl

# More databases on one SFTP server than an sshd takes connections at a time
# that have not logged in: Litestream, which opens them all at once, would end
# again and again.  There are several of them, started one after the other.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::DB;
use Test::Litestream::SSH;

my $databases = 30;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3 ssh-keygen/)->plan(7);

my $ssh = Test::Litestream::SSH->new($t);

$ssh->start();

my $dbs = join "\n", map {
    "    litestream_db db$_ %%TESTDIR%%/app/$_.sqlite3;"
} 1 .. $databases;

$t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  sftp://${\ $ssh->user }\@${\ $ssh->addr }${\
                        $ssh->path('') } key_path=${\ $ssh->key_path }
                        "host_key=${\ $ssh->host_key }";
$dbs

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api write=on;
        }
    }
}

EOF

$t->db_dir('app');

Test::Litestream::DB->make($t->testdir . "/app/$_.sqlite3", rows => 1)
    for 1 .. $databases;

$t->run();

ok($t->waituntil(sub { replicating() == $databases }, 60), 'all replicate')
    or diag(replicating());
is(scalar(() = $t->litestream_pids), 4, 'processes');
is(join(' ', map { $_->{restarts} } @{ $t->status->{litestream} }), '0 0 0 0',
    'none of them had to be started again');
unlike($ssh->log, qr/drop connection|MaxStartups/, 'no connection was refused');

# the same after a reload that changes something

$t->write_file('nginx.conf', $t->read_file('nginx.conf')
    =~ s/(db30 \S+);/$1 sync_interval=2s;/r);

is($t->reload(), 1, 'reload');
ok($t->waituntil(sub { replicating() == $databases }, 60),
    'all replicate again') or diag(replicating());
is($ssh->restore_count('db30'), 1, 'in the replica');


sub replicating {
    my $st = $t->status or return 0;
    return scalar grep { $_->{state} eq 'replicating' }
        @{ $st->{databases} };
}
