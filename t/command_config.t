#!/usr/bin/perl

# nginx-litestream config: what Litestream runs with, for root alone, with
# secrets masked wherever they stand, and never a file that is not it.

use warnings;
use strict;

use Cwd qw/ abs_path /;
use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::CLI;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(26 - ($> && 5));

my $dir = $t->testdir;

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

my $user = ($t->user)[0];
my $worker = ($t->worker_user)[0];

$t->db('app', rows => 3);
$t->db('web', rows => 3, user => $worker);
chmod 0777, $t->db_dir('replica');

is((cli($t, 'config'))[0], 3, 'before any nginx');

$t->run();

is($t->waitforstate($_, 'replicating'), 'replicating', "$_ replicates")
    for qw/ app web /;

my ($rc, $out, $err) = cli($t, 'config');

is("$rc$err", '0', 'exit code');
like($out, qr/^# \Q$dir\E\/s\/\S+\/litestream.yml$/m, 'which file');
like($out, qr/^ *- path: "?\Q$dir\E\/app\/db\.sqlite3"?$/m, 'a database');
like($out, qr/^---$/m, 'and another group') if $> == 0;
is((cli($t, 'config', 'no'))[0], 2, 'unknown: exit code');

($rc, $out) = cli($t, 'config', 'app');

like($out, qr/- path: "?\Q$dir\E\/app\//, 'one of them');

# others

if ($> == 0) {
    unlike($out, qr/- path: "?\Q$dir\E\/web\//, 'one of them alone');

    ($rc, $out, $err) = cli($t, { user => $worker }, 'config', 'app');

    is($rc, 1, 'a plain user: exit code');
    like($err, qr/may be read by root only: run this as root$/,
        'a plain user');
    is($out, '', 'a plain user: nothing is shown');
}

# while nginx is down, and with whatever could be a secret

ok($t->quit(), 'quit');

my ($yml) = (cli($t, 'config', 'app'))[1] =~ /^# (\S+yml)$/m;
my $text = $t->read_file($yml);

chmod 0600, $yml;
$t->write_file($yml, $text . <<'EOF');
access-key-id: AKID
sse-kms-key-id: shown
secret-access-key: sEcret1
"Account_Key": 'sEcret2'
password: |
  sEcret3
  sEcret4
token: [ sEcret5, { deep: sEcret6 } ]
visible: "yes\e[31m"
urls:
  - sftp://me:sEcret7@host/path
  - sftp://me:sEc/r?e@t8@host/path
  - s3://bucket/x?region=here&secret-access-key=sEcret9&endpoint=there
sse-customer-key: !!str sEcret10
after: seen
EOF

($rc, $out, $err) = cli($t, 'config', 'app');

is("$rc$err", '0', 'down: exit code');
unlike($out, qr/sEc|ret\d|e\@t8|AKID/, 'no secret') or diag($out);
is(() = $out =~ /\*\*\*/g, 10, 'masks');
like($out, qr/^sse-kms-key-id: shown$/m, 'what is none is shown');
like($out, qr!://me:\*\*\*\@host/path$!m, 'a URL');
like($out, qr/x\?region=here&secret-access-key=\*\*\*&endpoint=there$/m,
    'parameters of a URL');
like($out, qr/^after: seen$/m, 'to the end');
unlike($out, qr/\e/, 'no control character');

# all that the module takes for a secret

my %secret;

for (qw/ s3 base_table /) {
    my $code = $t->read_file(abs_path('../ngx_litestream_module')
        . "/ngx_litestream_$_.c");

    $secret{$1} = 1
        while $code =~ /ngx_string\("([a-z0-9-]+)"\),[^{}]*?
            NGX_LITESTREAM_(?:MASKED|PRIVATE)\b/gx;
}

my @secrets = sort keys %secret;

cmp_ok(scalar @secrets, '>', 10, 'names of secrets');

$t->write_file($yml, join '', map { "$_: sEcret\n" } @secrets);
is(join(' ', (cli($t, 'config', 'app'))[1] =~ /^([a-z-]+): (?:! )?'\*\*\*'$/mg),
    "@secrets", 'each of them is masked');

# it is a link to something else

$t->write_file('other', "root: sEcret\n");
unlink $yml;
symlink "$dir/other", $yml;

($rc, $out, $err) = cli($t, 'config', 'app');

is($rc, 1, 'a link: exit code');
is($out, '', 'a link: nothing is shown');
