#!/usr/bin/perl

# litestream_vfs: the environment that an application needs to read a database
# from its replica, in a file that only its user can read, also where nothing
# is replicated.  Secrets are nowhere else.  What is refused.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Command qw/ ids /;
use Test::Litestream::Proc qw/ slurp /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/);

my $dir = $t->testdir;
my $user = ($t->user)[0];
my $root = $> == 0;

# name, what stands in http{}, what the message has to say

my @refused = (

[ 'no URL', 'litestream_vfs a; #!',
  qr/invalid number of arguments in "litestream_vfs"/ ],
[ 'no name', 'litestream_vfs "" file:///a; #!', qr/invalid alias ""/ ],
[ 'a path for a name', 'litestream_vfs ../a file:///a; #!',
  qr!invalid alias "\.\./a"! ],
[ 'no scheme', 'litestream_vfs a /srv/a; #!', qr/it must be a URL/ ],
[ 'unknown scheme', 'litestream_vfs a gcs://b/a; #!', qr/did you mean "gs"/ ],
[ 'a secret in an s3 URL', 'litestream_vfs a s3://k:hidden@b/a; #!',
  qr/credentials do not belong in an s3 URL/ ],
[ 'a query', 'litestream_vfs a s3://b/a?secret-access-key=x; #!',
  qr/"secret-access-key" in its query string/ ],
[ 'an abs server of one\'s own', 'litestream_base_config base;
    litestream_vfs a abs://acct@b/a; #!',
  qr/does not work with replica type "abs" and an endpoint/ ],
(map { [ "type $_->[0]", "litestream_vfs a $_->[1]; #!",
         qr/"litestream_vfs" does not work with replica type "$_->[0]"/ ] }
    [ sftp => 'sftp://u@h/a' ], [ nats => 'nats://h/b' ],
    [ oss => 'oss://b/a' ]),
(map { [ "parameter $_", "litestream_vfs a file:///a $_; #!",
         qr/invalid parameter "\Q$_\E"/ ] }
    'max_lag=', 'max_lag=0', 'max_lag=x', 'max_lag=-1s', 'max_lag=2y', 'user=',
    'lag=1s', 'restore=off', 'x'),
[ 'max_lag twice', 'litestream_vfs a file:///a max_lag=1s max_lag=2s; #!',
  qr/parameter "max_lag=2s" is duplicate/ ],
[ 'unknown user', 'litestream_vfs a file:///a user=no-such-user; #!',
  qr/unknown user "no-such-user"/ ],
[ 'a path that the VFS misreads', 'litestream_vfs a "file:///a b"; #!',
  qr!does not work with " " in the path "/a b"! ],
[ 'an escape', 'litestream_vfs a file:///a%20b; #!',
  qr!does not work with "%" in the path! ],
[ 'a variable that is not set', 'litestream_vfs a file:///${NO_SUCH}; #!',
  qr/variable "\$\{NO_SUCH\}" in "litestream_vfs" is not set/ ],
[ 'two of one name', "litestream_vfs a file:///a;\n"
    . "server { litestream_vfs a file:///b; #!\n}",
  qr/database "a" is duplicate/ ],
[ 'the name of a database', "litestream_db app $dir/app/db.sqlite3;\n"
    . 'litestream_vfs app file:///b; #!', qr/database "app" is duplicate/ ],
[ 'in a location', "server { location / { litestream_vfs a file:///a; #!\n} }",
  qr/"litestream_vfs" directive is not allowed here/ ],
$root ? ([ 'nobody to tell', "litestream_vfs a file:///a; #!",
  qr/user for "a" cannot be told, say .*"user="/, 0 ]) : (),

);

$t->plan(3 * @refused + 43);

# what nginx's own environment says of certificates and proxies is passed on

delete @ENV{grep { /^SSL_|_proxy$/i } keys %ENV};
$ENV{HTTPS_PROXY} = 'http://proxy.example:3128';

# of all storages

for (

    [ 'gs://b/a/x y', 'gs://b/a/x%20y' ],
    [ 'abs://acct@b/a', 'abs://acct@b/a' ],
    [ 'webdav://u:p%2fw@h:81/a/b', 'webdav://u@h:81/a/b' ],
    [ 'webdavs://h/a', 'webdavs://h:443/a' ],
    [ 's3://b/a?region=eu-west-1', 's3://b/a?region=eu-west-1' ],

) {
    my ($said, $want) = @$_;

    configure("litestream_user $user; litestream_vfs a '$said';");

    my ($rc, $out) = $t->nginx('-T');

    is($rc, 0, "$said: taken");
    like($out, qr/^LITESTREAM_REPLICA_URL="\Q$want\E"$/m, "$said: $want");
}

$t->write_file('base', "endpoint: http://127.0.0.1:1\n");
$t->db('app', rows => 1);
$t->db_dir('replica');

for (@refused) {
    my ($name, $text, $say, $with) = @$_;

    $text = "litestream_user $user;\n$text" if $with // 1;
    configure("litestream_replica file://$dir/replica;\n$text");

    my ($rc, $err) = $t->conf_test();
    my $line = $t->line_of(qr/#!/);

    is($rc, 1, "$name: refused");
    like($err, qr/\[emerg\].*$say.* in \S*nginx\.conf:$line\b/,
        "$name: the reason and the place");
    unlike($err, qr/hidden/, "$name: no secret");
}

# without any database

$t->write_file('env', "KEY='k\"e\$y`\\1'\nSECRET=s3cret-of-x\n");
chmod 0600, "$dir/env";

my $conf = <<"EOF";
    litestream_user  $user;

    litestream_vfs   reports file://$dir/replica/re\$alias max_lag=90s;

    server {
        listen               127.0.0.1:8080;
        litestream_env_file  env;
        litestream_env       LITESTREAM_ACCESS_KEY_ID=\${KEY};
        litestream_env       LITESTREAM_SECRET_ACCESS_KEY=\${SECRET};
        litestream_env       AWS_CA_BUNDLE=/nowhere;
        litestream_env       LITESTREAM_LOG_FILE=/dev/null;
        litestream_env       OTHER=1;

        litestream_vfs       shop 's3://bkt/a b?endpoint=http://127.0.0.1:9000'
                             user=12345:23456;

        location /litestream/ { litestream_api; }
    }

    server {
        listen    127.0.0.1:8081;
        location  /litestream/ { litestream_api; }
    }
EOF

$conf =~ s/user=12345:23456/user=$user/ unless $root;

configure($conf);

my ($rc, $out) = $t->nginx('-T');

is($rc, 0, 'taken');
ok(!-e $t->state_path, 'a test makes no file');
like($out, qr/^AWS_SECRET_ACCESS_KEY="\*\*\*"$/m, 'nginx -T shows it');
unlike($out, qr/s3cret-of-x/, 'without a secret');

$t->run();

my $vfs = $t->state_path . '/vfs';

ok($t->waitforfile("$vfs/reports.env"), 'a file');
is(mode($vfs), '0711', 'the folder may be entered, and not read');
is(mode("$vfs/$_.env"), '0400', "$_: the file is its user's alone")
    for qw/ reports shop /;
is((stat "$vfs/reports.env")[4], $root ? (ids($user))[0] : $>,
    'reports: litestream_user');
is(join(':', (stat "$vfs/shop.env")[4, 5]),
    $root ? '12345:23456' : "$>:" . (split ' ', $))[0], 'shop: user=');

is(slurp("$vfs/reports.env"), <<"EOF", 'reports: what is in it');
LITESTREAM_REPLICA_URL="file://$dir/replica/rereports"
LITESTREAM_VFS_URI="file:reports.db?vfs=litestream&mode=ro"
LITESTREAM_VFS_MAX_LAG="90"
HTTPS_PROXY="http://proxy.example:3128"
EOF

is(slurp("$vfs/shop.env"), <<'EOF', 'shop: what is in it');
LITESTREAM_REPLICA_URL="s3://bkt/a%20b?endpoint=http%3A%2F%2F127.0.0.1%3A9000"
LITESTREAM_VFS_URI="file:shop.db?vfs=litestream&mode=ro"
AWS_ACCESS_KEY_ID="k\"e\$y\`\\1"
AWS_SECRET_ACCESS_KEY="s3cret-of-x"
LITESTREAM_LOG_FILE="/dev/null"
HTTPS_PROXY="http://proxy.example:3128"
EOF

# as a shell reads it, and as litestream_env_file does

my (undef, $said) = $t->command('sh', '-c',
    "set -a; . $vfs/shop.env; printf %s \"\$AWS_ACCESS_KEY_ID\"");

is($said, 'k"e$y`\1', 'a shell reads it');

my $before = $t->read_file('nginx.conf');

configure("litestream_user $user; litestream_env_file $vfs/shop.env;\n"
    . 'litestream_vfs x "file:///${AWS_ACCESS_KEY_ID}";');

like(($t->conf_test())[1], qr!in the path "/k"e\$y`\\1"!,
    'litestream_env_file reads it');

$t->write_file('nginx.conf', $before);

# in the status: of the site, or all

my $st = $t->status;

is_deeply($st->{databases}, [], 'no databases');
is_deeply($st->{vfs}, [ {
    name => 'shop', user => $root ? '12345' : $user,
    replica => { type => 's3', url => 's3://bkt/a b' },
    max_lag_seconds => undef, environment => "$vfs/shop.env",
} ], 'that of the site');

$st = $t->status(undef, peer => '127.0.0.1:' . port(8081));

is(join(' ', map { $_->{name} } @{ $st->{vfs} }), 'reports shop', 'all');
is($st->{vfs}[0]{max_lag_seconds}, 90, 'and how old they may be');
unlike($t->read_file('error.log'), qr/s3cret-of-x/, 'no secret in the log');

# another URL, others, one that is gone

my $old = (stat "$vfs/reports.env")[1];

$conf =~ s/ max_lag=90s//;
$conf =~ s/rere\$alias|re\$alias/new/;
$conf =~ s/litestream_vfs +shop.*?;//s;
configure($conf);

ok($t->reload(), 'reload');
ok($t->waituntil(sub { !-e "$vfs/shop.env" }), 'one that is gone');
is(slurp("$vfs/reports.env"), <<"EOF", 'another URL');
LITESTREAM_REPLICA_URL="file://$dir/replica/new"
LITESTREAM_VFS_URI="file:reports.db?vfs=litestream&mode=ro"
HTTPS_PROXY="http://proxy.example:3128"
EOF
isnt((stat "$vfs/reports.env")[1], $old, 'in another file');
is_deeply([ glob "$vfs/*" ], [ "$vfs/reports.env" ], 'and no other');

# a file that cannot be written does not end a master that runs

{
    my $file = "$vfs/reports.env";

    unlink $file;
    mkdir $file or die "mkdir($file) failed: $!\n";
    mkdir "$file/x";

    $t->signal('HUP');
    ok($t->waitforlog(qr/\[emerg\].*rename\(\).*reports\.env/), 'it is said');
    ok($t->waituntil(sub { $t->worker_pids }), 'nginx goes on');

    rmdir $_ for "$file/x", $file;
}

# beside databases: they are left alone

$conf = "litestream_db app $dir/app/db.sqlite3 "
    . "replica=file://$dir/replica/app;\n$conf";
configure($conf);

ok($t->reload(), 'reload with a database');
is($t->waitforstate('app', 'replicating'), 'replicating', 'replicated');

my $super = $t->supervisor_pid;

configure($conf =~ s!replica/new!replica/newer!r);

ok($t->reload(), 'reload with another URL of the VFS');
like(slurp("$vfs/reports.env"), qr/newer"$/m, 'its file is new');
is($t->supervisor_pid, $super, 'replication does not pause');

# none

configure($conf =~ s!litestream_vfs .*?;!!r);

ok($t->reload(), 'reload without any');
ok($t->waituntil(sub { !-e $vfs }), 'nothing is left');


sub mode { return sprintf '%04o', (stat $_[0])[2] & 07777 }


sub configure {
    my ($text) = @_;

    $t->write_file_expand('nginx.conf', <<"EOF");
%%TEST_GLOBALS%%
daemon off;
events { }
http {
    %%TEST_GLOBALS_HTTP%%
$text
}
EOF
}
