#!/usr/bin/perl

# Every command fails with an exit code that is not 0 and one line that says
# why: while nginx runs, and when it does not; with -json an object says it,
# too.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::CLI;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/);

my $dir = $t->testdir;

# [ when, exit code, why, command, argument... ]: up, down, or none, before
# there is any nginx; a ":" before the command asks for JSON, too

my @table = (

    # nginx has never been there

    [ none => 3, 'nginx is not running: there is no', ':status' ],
    [ none => 3, 'nginx is not running: there is no', ':verify' ],
    [ none => 3, 'nginx is not running: there is no', ':validate', 'app' ],
    [ none => 3, 'nginx is not running: there is no', ':sync' ],
    [ none => 3, 'nginx is not running: there is no', 'config' ],
    [ none => 3, 'nginx is not running: there is no', ':databases' ],
    [ none => 3, 'nginx is not running: there is no', ':restore', 'app' ],
    [ none => 3, 'nginx is not running: there is no', ':ltx', 'app' ],
    [ none => 3, 'nginx is not running: there is no', ':snapshots', 'app' ],
    [ none => 3, 'nginx is not running: there is no', ':wal', 'app' ],
    [ none => 3, 'nginx is not running: there is no', 'generations', 'app' ],
    [ none => 3, 'nginx is not running: there is no', 'reset', 'app' ],
    [ none => 1, 'nginx is not running: there is no', 'wait', '-t', '0',
      'app' ],

    # a database that nobody knows

    [ up => 2, 'unknown database "no"', ':status', 'no' ],
    [ up => 2, 'unknown database "no"', ':verify', 'no' ],
    [ up => 2, 'unknown database "no"', ':validate', 'no' ],
    [ up => 2, 'unknown database "no"', ':sync', 'no' ],
    [ up => 2, 'unknown database "no"', 'config', 'no' ],
    [ up => 2, 'unknown database "no"', ':databases', 'no' ],
    [ up => 2, 'unknown database "no"', ':restore', 'no' ],
    [ up => 2, 'unknown database "no"', ':ltx', 'no' ],
    [ up => 2, 'unknown database "no"', ':snapshots', 'no' ],
    [ up => 2, 'unknown database "no"', ':wal', 'no' ],
    [ up => 2, 'unknown database "no"', 'generations', 'no' ],
    [ up => 2, 'unknown database "no"', 'reset', 'no' ],
    [ up => 1, 'unknown database "no"', 'wait', '-t', '0', 'no' ],

    # all of them, where one is needed

    [ up => 2, 'restore needs one database', ':restore', 'all' ],
    [ up => 2, 'ltx needs one database', ':ltx', 'all' ],

    # a replica that is denied, and one that holds nothing

    [ up => 1, 'database "bad": not synced: ', ':sync', '-t', '5s', 'bad' ],
    [ up => 1, 'database "bad": not verified: ', ':verify', '-t', '9s',
      'bad' ],
    [ up => 1, '"bad": not restored: ', ':restore', 'bad' ],
    [ up => 1, '"bad": ', ':ltx', 'bad' ],
    [ up => 1, '"bad": ', ':snapshots', 'bad' ],
    [ up => 1, '"bad": ', ':wal', 'bad' ],
    [ up => 1, '"new": not restored: there is no backup', ':restore', 'new' ],
    [ up => 1, '"app": Litestream 0.5 has no generations', 'generations',
      'app' ],
    [ up => 1, 'database "app" is in the care of process', 'reset', 'app' ],

    # nginx has ended

    [ down => 3, 'database "app": no supervisor is running', 'verify',
      'app' ],
    [ down => 3, 'database "app": no supervisor is running', 'validate',
      'app' ],
    [ down => 3, 'database "app": no supervisor is running', 'sync', 'app' ],
    [ down => 1, 'nginx is not running', 'wait', '-t', '0', 'app' ],
    [ down => 1, '"new": not restored: there is no backup', ':restore',
      'new' ],
    [ down => 1, '"new": ', 'reset', 'new' ],

    # what has nothing to do with nginx

    [ none => 1, '"/nonexistent": No such file', 'init', '/nonexistent' ],
    [ none => 1, '"/nonexistent": No such file', 'init', '-django',
      '/nonexistent' ],
    [ none => 1, '"/nonexistent" cannot be read', 'install-litestream',
      '-from', '/nonexistent', '-o', "$dir/litestream-new" ],
    [ none => 2, 'unknown option "-no"', 'version', '-no' ],
    [ none => 2, '-path: the path is too long', 'version', '-path',
      'x' x 5000 ],
    [ none => 2, 'there is no command "replicate" here: nginx does that',
      'replicate' ],
    [ none => 2, 'there is no command "snapshot" here: a second Litestream',
      'snapshot', 'app' ],
    [ none => 2, 'help has no option -json', 'help', '-json' ],
);

my %walked = map { $_->[3] =~ s/^://r => 1 } @table;
my @commands = (cli($t, 'help'))[1] =~ /^    ([a-z]\S*) /mg;

$t->plan(4 + @table + grep { $_->[3] =~ /^:/ } @table);

is(join(' ', grep { !$walked{$_} } @commands), '', 'no command is left out');

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;
    litestream_db       new %%TESTDIR%%/new/db.sqlite3;
    litestream_db       bad %%TESTDIR%%/bad/db.sqlite3
                        replica=file://%%TESTDIR%%/file;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

$t->db($_, rows => 3) for qw/ app bad /;
$t->db_dir($_) for qw/ new replica /;
$t->write_file('file', 'not a directory');

walk('none');

$t->run();
is($t->waitforstate('app', 'replicating'), 'replicating', 'replicating');
is($t->waitforstate('bad', 'error'), 'error', 'a replica that is denied');

walk('up');

ok($t->quit(), 'quit');

walk('down');


sub walk {
    my ($when) = @_;

    for (grep { $_->[0] eq $when } @table) {
        my (undef, $code, $why, @args) = @$_;
        my $json = $args[0] =~ s/^://;
        my $name = substr "$when: @args", 0, 60;

        my ($rc, $out, $err) = cli($t, @args);

        is("$rc " . line($err, $why), "$code $why", $name);

        next unless $json;

        ($rc, $out, $err) = cli($t, shift(@args), '-json', @args);

        my $object = eval { json($out) } // {};
        my $error = $object->{error} // '';

        is("$rc " . (line($err, $why) eq $why
            && $err =~ /\Q$error\E\n\z/ && $error ne '' ? 'an object'
            : "$err$out"), "$code an object", "$name, JSON");
    }
}


# what was expected, if it is one line that begins so

sub line {
    my ($err, $why) = @_;
    return $err =~ /\Anginx-litestream: \Q$why\E[^\n]*\n\z/ ? $why : $err;
}
