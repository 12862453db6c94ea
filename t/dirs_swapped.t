#!/usr/bin/perl

# Whoever may write in a directory of databases can swap what is there at any
# moment: a directory or a file becomes a link out of it, and back.  Nothing
# outside is ever found, replicated, restored over or made, and what is in
# place goes on.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Command qw/ become /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(23);

my $dir = $t->testdir;

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       t %%TESTDIR%%/t/**/*.db;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOF

$t->db_dir($_) for qw! t t/flip t/d t/p t/p/q replica outside outside/d
    outside/q !;

my $good = Test::Litestream::DB->make("$dir/t/good.db", rows => 3);
my $user = $good->user;
my %out = map { $_ => Test::Litestream::DB->make("$dir/outside/$_.db",
        rows => 2) } 'secret', 'd/x';

Test::Litestream::DB->make("$dir/t/$_.db", rows => 4) for 'd/in', 'p/q/deep';

# as fast as it can: "flip" is a directory, or a link out; "file.db" is one of a
# text, a link out, a fifo, or nothing; names come and go

my $swapper = $t->run_daemon(sub {
    become($user);
    chdir "$dir/t" or die "chdir: $!\n";

    my ($swaps, $stop) = (0, 0);
    local $SIG{TERM} = sub { $stop = 1 };

    for (my $n = 0; !$stop; $n++) {
        rename 'flip', 'flip.dir';
        $swaps++ if symlink "$dir/outside", 'flip'
            and symlink "$dir/outside/secret.db", 'file.db';
        select undef, undef, undef, 0.001;
        unlink 'flip', 'file.db';
        rename 'flip.dir', 'flip';
        POSIX::mkfifo('file.db', 0600) if $n % 2;
        mkdir "gone$n.db" if $n % 8 == 0;
        select undef, undef, undef, 0.001;
        unlink 'file.db';
        rmdir "gone$n.db";
    }

    POSIX::_exit($swaps > 200 ? 0 : 1);
});

$t->run(ceiling => 60);

is($t->waitforstate('t/good.db', 'replicating', 30), 'replicating',
    'what is in place is replicated');
is($t->waitforstate("t/$_.db", 'replicating', 30), 'replicating',
    "and what is below, $_") for 'd/in', 'p/q/deep';

# several looks at it

for (1 .. 3) {
    my $db = Test::Litestream::DB->make("$dir/t/new$_.db", rows => $_);

    is($t->waitforstate("t/new$_.db", 'replicating', 60), 'replicating',
        "a new one: look $_");
}

my $names = join ' ', sort map { $_->{alias} } @{ $t->status->{databases} };

is($names, 't/d/in.db t/good.db t/new1.db t/new2.db t/new3.db t/p/q/deep.db',
    'nothing else was ever found');
is(join(' ', grep { !m!/(good|new\d|[dp])(\.db)?$! } glob "$dir/replica/t/*"), '',
    'nothing else was replicated');

# one that is replicated becomes a link out of the directory

swap("$dir/t/new1.db", "$dir/outside/secret.db");

is($t->waitforstate('t/new1.db', 'error', 60), 'error',
    'a file becomes a link: state');

# a directory of one becomes a link, or one above

for (['d', 'd'], ['p', '.']) {
    rename "$dir/t/$_->[0]", "$dir/t/.$_->[0].old" or die "rename: $!\n";
    symlink "$dir/outside/$_->[1]", "$dir/t/$_->[0]" or die "symlink: $!\n";
}

is($t->waitforstate("t/$_.db", 'error', 60), 'error',
    "a directory becomes a link: state, $_") for 'd/in', 'p/q/deep';
is($t->waitforstate('t/good.db', 'replicating', 60), 'replicating',
    'the others go on');

is($t->stop_daemon($swapper), 0, 'there were many swaps');
ok($t->quit(), 'quit');

# a restart: their backups are not restored through the link, also while the
# other one is a directory

for my $is (['d', 't/p/q/deep.db'], ['p', 't/d/in.db']) {
    my ($now, $name) = @$is;

    rename "$dir/t/$now", "$dir/t/.$now.link" or die "rename: $!\n";
    rename "$dir/t/.$now.old", "$dir/t/$now" or die "rename: $!\n";

    my ($rc, $err) = $t->try_run();

    isnt($rc, 0, "nginx does not start without it: $name");
    like($err, qr/"\Q$name\E": directory ".*" is none below ".*" any more: /,
        "why: $name");

    rename "$dir/t/$now", "$dir/t/.$now.old" or die "rename: $!\n";
    rename "$dir/t/.$now.link", "$dir/t/$now" or die "rename: $!\n";
}

ok(!-e "$dir/outside/$_", "nothing is restored through a link: $_")
    for 'd/in.db', 'q/deep.db';
is(join(' ', map { $out{$_}->count } sort keys %out), '2 2',
    'what is outside is as it was');
is(join(' ', grep { /litestream/ } entries("$dir/outside"),
    entries("$dir/outside/d"), entries("$dir/outside/q")), '', 'nothing of Litestream is beside it');
is($good->restore_count("file://$dir/replica/t/good.db"), 3,
    'the backup of the one in place');


sub swap {
    my ($path, $to) = @_;

    my ($rc, $out, $err) = $t->as_user($user, 'sh', '-c',
        'rm -f "$1" "$1-wal" "$1-shm" && ln -s "$2" "$1"', 'sh', $path, $to);
    die $err if $rc;
}


sub entries {
    opendir my $d, $_[0] or die "opendir($_[0]) failed: $!\n";
    return readdir $d;
}
