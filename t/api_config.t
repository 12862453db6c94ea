#!/usr/bin/perl

# GET config: what Litestream has been given, and of that only what the
# location shows; "nginx -T" shows the files as well, and writes none.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(27);

my $dir = $t->testdir;

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       one %%TESTDIR%%/one/db.sqlite3 sync_interval=2s;
    litestream_db       two %%TESTDIR%%/two/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }

        location /one/ {
            litestream_api  db=one;

            if ($arg_x) {
                set $x 1;
            }
        }

        location /both/ {
            litestream_api  db=two,one;
        }
    }
}

EOF

my ($rc, $out) = $t->nginx('-T');

isnt($rc, 0, 'a configuration that is refused');
unlike($out, qr/litestream\.yml/, 'has no dump');

$t->db($_) for qw/ one two /;
$t->db_dir('replica');

# -T

my $before = $t->tree;

($rc, $out) = $t->nginx('-T');

is($rc, 0, 'nginx -T') or diag($out);

my $after = $t->tree;

# nginx opens its logs

delete @{$_}{map { "$dir/$_" } qw/ stderr.log error.log access.log
    nginx.pid client_body_temp proxy_temp fastcgi_temp uwsgi_temp scgi_temp
    /} for $before, $after;

is(join(' ', sort keys %$after), join(' ', sort keys %$before),
    'nothing is written');

my @dumps = $out =~ m!^# configuration file (\S+/litestream\.yml):$!mg;

is(scalar @dumps, 1, 'one file');
like($dumps[0], qr!^$dir/s/\d+-file-[0-9a-f]+/litestream\.yml$!, 'its name');

my ($dump) = $out =~ m!^# configuration file \Q$dumps[0]\E:\n(.*)!ms;

$dump =~ s/\n\n\z/\n/;

unlike((($t->conf_test)[1]), qr/litestream\.yml/, 'nginx -t has no dump');

# the endpoint

$t->run();

# a database whose comparison takes longer comes to the file later

$t->waituntil(sub {
    my $text = $t->read_file($dumps[0]) // '';
    return 2 == grep { index($text, "$dir/$_/db.sqlite3") != -1 } qw/ one two /;
}, 30);

my $yml = $t->read_file($dumps[0]);

is($dump, $yml, 'the dump is what is written at the start');

my $r = get('/litestream/config');

is($r->{status}, 200, 'status');
is($r->{headers}{'content-type'}, 'application/yaml', 'Content-Type');
is($r->{headers}{'cache-control'}, 'no-store', 'Cache-Control');
is($r->{headers}{'content-length'}, length $r->{body}, 'Content-Length');
is($r->{body}, "---\n# $dumps[0]\n$yml", 'the file');
is(get('/litestream/config')->{body}, $r->{body}, 'once more');

is(get('/both/config')->{body}, $r->{body}, 'all of them by db=');

my $one = get('/one/config')->{body};

like($one, qr!"$dir/one/db\.sqlite3"!, 'what the location shows');
unlike($one, qr!/two/!, 'what it does not show');
like($one, qr/monitor-interval: 2s/, 'with its settings');
is(($one =~ /^(shutdown.*)$/m)[0], ($yml =~ /^(shutdown.*)$/m)[0],
    'the rest is that of the file');
is(get('/one/config?x=y')->{body}, $one, 'with arguments, in "if"');

# Litestream reads it

$t->write_file('part.yml', $one);
(undef, my $list) = $t->command($t->litestream_bin, 'databases', '-config',
    "$dir/part.yml");
like($list, qr!$dir/one/db\.sqlite3\s+file!, 'it is a configuration');

is(get('/litestream/config/one')->{status}, 404, 'an alias');
is(response(http_post('/litestream/config', ''))->{status}, 405, 'POST');
is(response(http_head('/one/config'))->{headers}{'content-length'},
    length $one, 'HEAD');

# it changes with a reload

$t->write_file('nginx.conf', $t->read_file('nginx.conf')
    =~ s/sync_interval=2s/sync_interval=7s/r);

ok($t->reload, 'reload');
like(get('/one/config')->{body}, qr/monitor-interval: 7s/, 'after a reload');

# nobody's

$t->write_file('nginx.conf', $t->read_file('nginx.conf')
    =~ s/^ *litestream_(db|replica) .*\n//mgr =~ s/ db=[a-z,]+//gr);

$t->reload;
is(get('/litestream/config')->{body}, "# no databases\n", 'no databases');


sub get { return response(http_get($_[0])) }
