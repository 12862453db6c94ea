#!/usr/bin/perl

# nginx-litestream databases, ltx, snapshots, wal, generations and version:
# what Litestream itself would say, for an alias, a path, a URL or a
# litestream.yml, whether nginx runs or not, asked by the database's user.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::CLI;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(63 - ($> && 3));

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
    litestream_db       web %%TESTDIR%%/web/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOF

my ($user, undef, $uid) = $t->user;
my $worker = ($t->worker_user)[0];

my $db = $t->db('app', rows => 3);
$t->db('web', rows => 3, user => $worker);
chmod 0777, $t->db_dir('replica');

my $path = $db->path;
my $url = "file://$dir/replica/app";

is((cli($t, 'databases'))[0], 3, 'before any nginx');
is((cli($t, 'version'))[0], 0, 'version before any nginx: exit code');

$t->run();

is($t->waitforstate($_, 'replicating'), 'replicating', "$_ replicates")
    for qw/ app web /;

for my $n (1 .. 3) {
    $db->insert(1);
    is((cli($t, 'sync', 'app'))[0], 0, "sync $n");
}

# databases

my ($rc, $out, $err) = cli($t, 'databases');

is("$rc$err", '0', 'databases: exit code');
is($out =~ s/ +/ /gr, "ALIAS PATH REPLICA\napp $path $url\n"
    . "web $dir/web/db.sqlite3 file://$dir/replica/web\n", 'databases');
is((cli($t, { user => 12345 }, 'databases'))[1], $out,
    'databases: for everybody');

($rc, $out, $err) = cli($t, 'databases', '-json', 'app');

is_deeply(json($out), [ { alias => 'app', path => $path, replica => 'file',
    url => $url } ], 'databases: JSON');
is((cli($t, 'databases', 'no'))[0], 2, 'databases: unknown');

# what the replica holds; at other levels it may change meanwhile

my $ltx = [ grep { $_->{level} == 0 } @{ $db->ltx($url) } ];

cmp_ok(scalar @$ltx, '>', 2, 'there is something');

($rc, $out, $err) = cli($t, 'ltx', 'app');

is("$rc$err", '0', 'ltx: exit code');
like($out, qr/\Alevel +min_txid +max_txid +size +created\n0 +0{15}1 /, 'ltx');

symlink "$dir/app", "$dir/link";
mark();

for my $name ('app', $path, "$dir/link/db.sqlite3", $url) {
    ($rc, $out, $err) = cli($t, 'ltx', '-level', '0', '-json', $name);

    is("$rc$err", '0', "ltx $name: exit code");
    is_deeply(json($out), $ltx, "ltx $name");
}

is((cli($t, 'wal', '-json', 'app'))[1], $out, 'wal');

is(join(', ', calls()), join(', ', ("$uid ltx") x 5),
    'by the user of the database');

# as users

($rc, $out, $err) = cli($t, { user => $user }, 'ltx', 'app');
is("$rc$err", '0', 'its user: exit code');

if ($> == 0) {
    ($rc, $out, $err) = cli($t, { user => 12345 }, 'ltx', '-json', 'app');

    is($rc, 1, 'another user: exit code');
    is($err, "nginx-litestream: database \"app\": run this as root, or as user "
        . "\"$user\"\n", 'another user');
    like(json($out)->{error}, qr/^database "app": run this as root/,
        'another user: JSON');
}

# generations are of Litestream 0.3

($rc, $out, $err) = cli($t, 'generations', 'app');

is("$rc$out", '1', 'generations: exit code');
like($err, qr/^\S+: "app": Litestream 0.5 has no generations .*\n\z/,
    'generations');
like((cli($t, 'wal', '-generation', 'x', 'app'))[2],
    qr/Litestream 0.5 has no generations/, 'of a generation');

# version

my $nginx = $t->{version};

($rc, $out, $err) = cli($t, 'version');

is("$rc$err", '0', 'version: exit code');
like($out, qr/\Anginx-litestream\ ([\d.]+)\nngx_litestream\ \1\nnginx\ \Q$nginx\E
    \nlitestream\ 0\.5\.17\n\z/x, 'version');

my $version = json((cli($t, 'version', '-json'))[1]);

is(join(' ', map { $version->{$_} } qw/ nginx_version litestream_version /),
    "$nginx 0.5.17", 'version: JSON');

# while nginx is down

ok($t->quit(), 'quit');

$ltx = $db->ltx($url);
mark();

($rc, $out, $err) = cli($t, 'ltx', '-level', 'all', '-json', 'app');

is("$rc$err", '0', 'down: exit code');
is_deeply(json($out), $ltx, 'down: ltx');
is(join(', ', calls()), "$uid ltx", 'down: by its user');
is((cli($t, 'databases', 'app'))[0], 0, 'down: databases');
is((cli($t, 'version'))[0], 0, 'down: version');
is((cli($t, 'snapshots', 'app'))[1],
    (cli($t, 'ltx', '-level', '9', 'app'))[1], 'snapshots');

# a replica that nginx does not know: its files are not for root to read

my %path = (env => { PATH => "$dir/fake:$ENV{PATH}" });

$db->replicate("file://" . $t->db_dir('other'));
mark();

($rc, $out, $err) = cli($t, \%path, 'ltx', '-level', 'all',
    "file://$dir/other");

is("$rc$err", '0', 'a URL: exit code');
like($out, qr/^0 +0{15}/m, 'a URL');
is(join(', ', calls()), "$uid ltx", 'a URL: by the owner of the files');
is((cli($t, 'ltx', 's3://me:pass@bucket/x'))[0], 2, 'a URL with a password');

# a litestream.yml

$t->write_file('litestream.yml', <<EOF);
dbs:
  - path: $path
    replica:
      path: $dir/other
EOF

my @config = ('-config', "$dir/litestream.yml");

($rc, $out, $err) = cli($t, \%path, 'ltx', '-json', '-level', 'all',
    @config, $path);

is("$rc$err", '0', '-config: exit code');
is_deeply(json($out), $db->ltx("file://$dir/other"), '-config: ltx');

($rc, $out, $err) = cli($t, { %path, cwd => "$dir/app" }, 'ltx', @config,
    'db.sqlite3');
is("$rc$err", '0', '-config: a name in this directory');

($rc, $out, $err) = cli($t, \%path, 'databases', '-json', @config);
is_deeply(json($out), [ { path => $path, replica => 'file' } ],
    '-config: databases');

is((cli($t, \%path, 'ltx', @config, "$dir/no"))[2],
    "nginx-litestream: \"$dir/no\": database not found in config: $dir/no\n",
    '-config: unknown');

# a storage that does not answer

$t->fake_mode('ltx: hang');

($rc, $out, $err) = cli($t, 'ltx', '-t', '300ms', 'app');

is($rc, 124, 'no answer: exit code');
is($err, 'nginx-litestream: "app": Litestream gave no answer within 300 ms, '
    . "it was ended\n", 'no answer');

# what it says is shown, but does nothing to a terminal

$t->fake_mode('ltx: stderr Error: one', "ltx: stderr Error: \e[2J two\a",
    'ltx: exit 3');

($rc, $out, $err) = cli($t, 'ltx', '-json', 'app');

is($rc, 1, 'failed: exit code');
is($err, "nginx-litestream: \"app\": \\x1b[2J two\\x07\n", 'failed: why');
is(json($out)->{error}, "\"app\": \e[2J two\a", 'failed: JSON');

$t->fake_mode("ltx: stdout a\e[2Jb\xc2\x9bc", 'ltx: exit 0');

is((cli($t, 'ltx', 'app'))[1], "a\\x1b[2Jb\\xc2\\x9bc\n", 'output');

$t->fake_mode('ltx: kill KILL');
is((cli($t, 'ltx', 'app'))[2],
    "nginx-litestream: \"app\": Litestream was ended by signal 9\n", 'killed');

unlink "$dir/fake/litestream";
is((cli($t, 'ltx', 'app'))[2], "nginx-litestream: \"app\": $dir/fake/litestream"
    . ": No such file or directory\n", 'it is not there');

# what is to be run is checked

my ($group) = glob "$dir/s/$uid-file-*";

for ('', "\0", "litestream\0A=b\0", "/bin/true\0A=b") {
    unlink "$group/jobs.env";
    $t->write_file("$group/jobs.env", $_);
    chown $uid, -1, "$group/jobs.env";

    is((cli($t, 'ltx', 'app'))[2], "nginx-litestream: \"$group/jobs.env\" is "
        . "not what it should be\n", 'jobs.env: ' . s/\0/\\0/gr);
}


sub mark { $t->write_file('fake/calls', '') }


# user and command

sub calls {
    return map { "$_->[1] " . (split ' ', $_->[2])[0] }
        grep { $_->[2] !~ /^(version|replicate)/ } $t->fake_calls;
}
