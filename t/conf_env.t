#!/usr/bin/perl

# Variables in the configuration: what is refused, with file and line, what is
# warned of, and that litestream_expand_env turns it off.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/);

my $dir = $t->testdir;

$t->db('app', rows => 1);
$t->db_dir('replica');

my $db = "litestream_db app $dir/app/db.sqlite3;";
my $file = "litestream_replica file://$dir/replica;";

# name, http{}, the message; "#!" marks the line to blame

my @refused = (
    [ 'not set', "$file\nlitestream_db app \${NO_SUCH}/x; #!",
      qr/variable "\$\{NO_SUCH\}" in "litestream_db" is not set/ ],
    [ 'not set, in a replica', "litestream_db app $dir/app/db.sqlite3\n"
      . "replica=file://$dir/\${NO_SUCH}; #!", qr/"\$\{NO_SUCH\}"/ ],
    [ 'not a name', "$file\nlitestream_db app \${A:-1}/x; #!",
      qr/invalid variable "\$\{A:-1"/ ],
    [ 'not set, in litestream_log', "$file $db\n"
      . "litestream_log $dir/\${NO_SUCH}; #!",
      qr/variable "\$\{NO_SUCH\}" in "litestream_log" is not set/ ],
    [ 'not set, in litestream_restore', "$file $db\n"
      . 'litestream_restore blocking timeout=${NO_SUCH}; #!',
      qr/variable "\$\{NO_SUCH\}" in "litestream_restore" is not set/ ],
    [ 'not set, in litestream_shutdown_timeout', "$file $db\n"
      . 'litestream_shutdown_timeout ${NO_SUCH}; #!',
      qr/"\$\{NO_SUCH\}" in "litestream_shutdown_timeout" is not set/ ],
    [ 'not set, in litestream_api', "$file $db\n"
      . "server { location / {\nlitestream_api db=\${NO_SUCH}; #!\n} }",
      qr/variable "\$\{NO_SUCH\}" in "litestream_api" is not set/ ],

    # what a variable holds is looked at as what is said is

    (map {
        [ "bad value, $_->[0]", "$file $db litestream_env BAD=bad;\n"
          . "$_->[0] #!$_->[2]", $_->[1] ]
    }
    [ 'litestream_log x ${BAD};', qr/invalid log level "bad"/, '' ],
    [ 'litestream_restore ${BAD};', qr/it must be "blocking" or/, '' ],
    [ 'litestream_restore blocking concurrency=${BAD};',
      qr/invalid parameter "concurrency=bad"/, '' ],
    [ 'litestream_shutdown_timeout ${BAD};',
      qr/"litestream_shutdown_timeout" directive invalid value/, '' ],
    [ 'server { location / { litestream_api ${BAD};',
      qr/invalid parameter "bad"/, "\n} }" ],
    [ 'server { location / { litestream_api db=app,${BAD};',
      qr/unknown database "bad"/, "\n} }" ]),

    [ 'name of litestream_env', "$file $db\nlitestream_env 1A=2; #!",
      qr/invalid name "1A"/ ],
    [ 'litestream_env twice', "$file $db\nlitestream_env A=2;\n"
      . 'litestream_env A; #!', qr/"A" is duplicate/ ],
    [ 'no such file', "$file $db\nlitestream_env_file $dir/no; #!",
      qr/open\(\) "\Q$dir\E\/no" failed .*No such file/ ],
    [ 'a directory', "$file $db\nlitestream_env_file $dir/app; #!",
      qr/not a regular file/ ],
    [ 'expand', "$file $db\nlitestream_expand_env perhaps; #!",
      qr/litestream_expand_env/ ],

    # s3

    (map {
        [ "s3: $_->[0]", "$db\nlitestream_replica $_->[0]; #!", $_->[1] ]
    }
    [ 's3://', qr/name of the bucket is missing/ ],
    [ 's3:///x', qr/name of the bucket is missing/ ],
    [ 's3://b@d/x', qr/credentials do not belong/ ],
    [ 's3://key:hidden@b/x', qr/credentials do not belong/ ],
    [ 's3://127.0.0.1:9000/b', qr/parameter "endpoint"/ ],
    [ 's3://b.s3.eu-west-1.amazonaws.com/x', qr/parameter "region"/ ],
    [ 's3://b/a//b', qr/empty part/ ],
    [ 's3://b/../x', qr/"\.\."/ ],
    [ 's3://b/x?forcePathStyle=true', qr/"forcePathStyle" in its query/ ],
    [ 's3://b/x?region=', qr/"region" in its query string: it is empty/ ],
    [ 's3://b/x?endpoint=http://a:hidden@h', qr/credentials do not/ ],
    [ 's3://b/x?region=a region=b', qr/"region" is said twice/ ],
    [ 's3://b/x endpoint=ftp://h', qr/it must be http:/ ],
    [ 's3://b/x access-key-id=a', qr/did you mean "access_key_id"\?/ ],
    [ 's3://b/x acces_key=a', qr/did you mean "access_key_id"|there are:/ ],
    [ 's3://b/x secret=hidden', qr/there are: endpoint, region, / ],
    [ 's3://b/x session_token=hidden', qr/AWS_SESSION_TOKEN/ ],
    [ 's3://b/x access_key_id=a', qr/must be said together/ ],
    [ 's3://b/x skip_verify=maybe', qr/"on" or "off"/ ],
    [ 's3://b/x concurrency=0', qr/1 to 1000/ ],
    [ 's3://b/x part_size=big', qr/size, such as 8m/ ],
    [ 's3://b/x region=a region=b', qr/"region" is duplicate/ ],
    [ 'gcs://b/x', qr/did you mean "gs"\?/ ],
    [ 'https://b/x', qr/did you mean "s3" with .*"endpoint"/ ]),

    [ 's3: twice', "$db litestream_replica s3://b/x/\$file;\n"
      . "litestream_db two $dir/app/two.sqlite3 "
      . 'replica=s3://b/x/db.sqlite3; #!', qr/is duplicate, it is that of/ ],
    [ 's3: inside', "$db litestream_replica s3://b/x/\$file;\n"
      . "litestream_db two $dir/app/two.sqlite3 "
      . 'replica=s3://b/x/db.sqlite3/y?region=z; #!', qr/is inside replica/ ],
);

# lines of an environment file

my @lines = (
    [ "A=1\nB\n", 2, qr/no "=" after the name/ ],
    [ "A='hidden\n", 1, qr/closing quote is missing/ ],
    [ "\n\nA=\"1\" hidden\n", 3, qr/something follows the closing quote/ ],
    [ "1A=hidden\n", 1, qr/must begin with a name/ ],
);

$t->plan(3 * @refused + 3 * @lines + 20);

for (@refused) {
    my ($name, $conf, $re) = @$_;

    conf($conf);

    my $line = $t->line_of(qr/#!/);
    my ($rc, $err) = $t->conf_test();

    isnt($rc, 0, "$name: refused");
    like($err, qr/\[emerg\] .*$re.* in \Q$dir\E\/nginx\.conf:$line$/m,
        "$name: its message");
    unlike($err, qr/hidden/, "$name: no secret");
}

for (@lines) {
    my ($text, $line, $re) = @$_;

    file($text);
    conf("$file $db litestream_env_file $dir/env;");

    my ($rc, $err) = $t->conf_test();

    isnt($rc, 0, "line $line: refused");
    like($err, qr/\[emerg\] .*$re.* in \Q$dir\E\/env:$line$/m,
        "line $line: its message");
    unlike($err, qr/hidden/, "line $line: no secret");
}

# what is warned of

file("SECRET_KEY=hidden\n");
conf("$file $db litestream_env_file env;");
is(warned(), '', 'no warning');

chmod 0644, "$dir/env";
like(warned(), qr/env" can be read by others \(mode 0644\)/, 'a public file');

conf("$file $db litestream_env API_TOKEN=hidden;");
like(warned(), qr/"API_TOKEN" has a secret in a file that everybody/,
    'a literal secret');

conf("$file $db litestream_env API_TOKEN=\${SECRET_KEY};
    litestream_env_file env;");
chmod 0600, "$dir/env";
is(warned(), '', 'no literal secret');

conf("$file $db litestream_env AWS_CA_BUNDLE=/x;");
like(warned(), qr/AWS_CA_BUNDLE is left out.*SSL_CERT_FILE/, 'AWS_CA_BUNDLE');

my $s3 = "$db litestream_replica s3://b/x access_key_id=a secret_access_key=";

conf("$s3 hidden-hidden;" =~ s/= /=/r);
like(warned(), qr/"secret_access_key" is a secret in a file that everybody/,
    's3: a literal secret');

chmod 0640, "$dir/nginx.conf";
is(warned(), '', 's3: in a private file');

conf("$s3\${SECRET_KEY}; litestream_env_file env;");
is(warned(), '', 's3: of a variable');

# who is asked first: litestream_env, the file, the environment; nothing twice

file("A=file\nB=file\nTWICE='\${A}'\n");
conf("litestream_env A=said;
    litestream_replica file://$dir/replica/\${A}\${B}\${C}\$alias\${TWICE};
    $db litestream_env_file env;");

$t->run(env => { A => 'env', B => 'env', C => 'env' });

is($t->waitforstate('app', 'replicating'), 'replicating', 'replicated');
is($t->database('app')->{replica}{url},
    "file://$dir/replica/saidfileenvapp\${A}", 'values');
is($t->stop(), 1, 'stop');

# in the values of directives that are not about databases; a location has the
# variables of its server

my $mark = $t->log_mark;

conf("litestream_env WHERE=lines; litestream_env LIMIT=20s;
    litestream_env HOW=background; litestream_env MAY=off;
    litestream_restore \${HOW} timeout=\${LIMIT};
    litestream_shutdown_timeout \${LIMIT};
    litestream_log \${WHERE}.log \${LEVEL};
    litestream_replica file://$dir/replica; $db

    server {
        listen           127.0.0.1:8081;
        litestream_env   MAY=on;
        litestream_env   SHOWN=app;

        location / {
            litestream_api  db=\${SHOWN} write=\${MAY};
        }
    }");

$t->run(env => { LEVEL => 'notice' });

is($t->waitforstate('app', 'replicating'), 'replicating', 'other directives');
like($t->read_file('lines.log'), qr/supervisor/, 'litestream_log');
is(join('', $t->read_log(qr/litestream: /, $mark)), '', 'and not elsewhere');

# without write=on the second one would be the first one's result, with its time

my %own = (peer => '127.0.0.1:' . port(8081));

like(http_post('/verify/app', '', %own), qr/"verified":true/, 'verified');

my $again = http_post('/verify/app', '', %own);

like($again, qr/"verified":true/, 'litestream_api db=');
unlike($again, qr/"at":/, 'litestream_api write=');
is($t->stop(), 1, 'other directives: stop');

# off

conf("litestream_expand_env off;
    litestream_replica file://$dir/replica/\${A}; $db");

$t->run(env => { A => 'env' });

is($t->database('app')->{replica}{url}, "file://$dir/replica/\${A}/app",
    'off: as it is');
is($t->stop(), 1, 'off: stop');


sub file {
    my ($text) = @_;

    $t->write_file('env', $text);
    chmod 0600, "$dir/env";
}


sub warned {
    my ($rc, $err) = $t->conf_test();

    return $rc ? "refused: $err" : join '',
        grep { /\[warn\]/ && !/is on the file system of database/ }
        map { s/hidden/LEAKED/r } split /^/, $err;
}


sub conf {
    my ($text) = @_;

    $t->write_file_expand('nginx.conf', <<"EOC");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    $text

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api write=on;
        }
    }
}

EOC

    chmod 0644, "$dir/nginx.conf";
}
