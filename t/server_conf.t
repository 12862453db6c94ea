#!/usr/bin/perl

# What is refused of directives in server{}, and of those about a whole
# Litestream: with the reason, file and line, and no trace is left.  And what
# is taken.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/);

my $dir = $t->testdir;
my ($user, undef, $uid) = $t->user;
my $start = $t->read_file('/proc/sys/net/ipv4/ip_unprivileged_port_start')
    // 1024;

$t->db_dir($_) for qw/ one two /;
$t->db_dir('three', user => 12345) if $> == 0;

my $one = 'litestream_db one %%TESTDIR%%/one/a.sqlite3;';
my $two = 'litestream_db two %%TESTDIR%%/two/a.sqlite3;';

# name, what stands in http{}, what the message has to say; the line that is
# to blame ends with "#!"

my @refused = (

# where it may stand

(map {
    my ($directive) = /^(\w+)/;
    [ "$directive in a location", "server { location / { $_; #!\n} }",
      qr/"$directive" directive is not allowed here/ ],
    [ "$directive in if{}", "server { if (\$arg_x) { $_; #!\n} }",
      qr/"$directive" directive is not allowed here/ ],
} 'litestream_db one /a', 'litestream_replica file:///a', 'litestream_user a',
    'litestream_snapshot interval=1h', 'litestream_metrics_addr :1',
    'litestream_mcp_addr :1'),

(map {
    my ($directive) = /^(\w+)/;
    [ "$directive in server{}", "server { $_; #!\n}",
      qr/"$directive" directive is not allowed here/ ],
} 'litestream_bin /a', 'litestream_state_path /a', 'litestream_log /a',
    'litestream_restore background', 'litestream_shutdown_timeout 1s'),

(map {
    my ($directive) = /^(\w+)/;
    [ "$directive twice in server{}", "server { $_;\n $_; #!\n}",
      qr/"$directive" directive is duplicate/ ],
} 'litestream_replica file:///a', "litestream_user $uid",
    'litestream_snapshot interval=1h', 'litestream_metrics_addr :1',
    'litestream_mcp_addr 127.0.0.1:1'),

# what is said in server{} is looked at, also when nothing uses it

[ 'unknown user', "server { litestream_user no-such-user; #!\n}",
  qr/unknown user "no-such-user"/ ],
[ 'unknown scheme', "server { litestream_replica ftp://a; #!\n}",
  qr/unknown replica scheme "ftp"/ ],
[ 'no replica', "server { litestream_replica file:///a; }\n"
    . "server { $one #!\n}", qr/no replica for database "one"/,
  { replica => 0 } ],
[ 'an alias in two sites', "server { $one }\n"
    . "server { litestream_db one %%TESTDIR%%/two/a.sqlite3; #!\n}",
  qr/database "one" is duplicate/ ],
[ 'no such directory', "server { litestream_user $user;\n"
    . "litestream_db one $dir/no/a; #!\n}",
  qr!install -d -o \Q$user\E .* $dir/no! ],

# snapshots

(map { [ "litestream_snapshot $_", "litestream_snapshot $_; #!",
         qr/invalid parameter "\Q${\ (split)[-1] }\E"/ ] }
    'interval=0', 'interval=', 'interval=x', 'retention=-1h', 'retention=300y',
    'every=1h', 'interval', 'retention=1h interval=1hh'),
[ 'interval twice', 'litestream_snapshot interval=1h interval=2h; #!',
  qr/parameter "interval=2h" is duplicate/ ],
[ 'no parameters', 'litestream_snapshot; #!',
  qr/invalid number of arguments in "litestream_snapshot"/ ],

# addresses

(map { [ "address \"$_\"", "litestream_metrics_addr \"$_\"; #!",
         qr/invalid address "\Q$_\E" in "litestream_metrics_addr" directive/ ] }
    '', '9090', '127.0.0.1', 'localhost:', '127.0.0.1:0', '127.0.0.1:65536',
    ':x', '::1:9090', 'unix:/a:1', 'http://127.0.0.1:9090', '127.0.0.1:9090/x',
    'a b:1', '::'),
[ 'unknown host', 'litestream_metrics_addr no-such-host.invalid:9090; #!',
  qr/host not found in "no-such-host.invalid:9090"/ ],
[ 'no host', 'litestream_metrics_addr 300.1.1.1:9090; #!',
  qr/"300.1.1.1:9090"/ ],
[ 'another machine\'s address', 'litestream_metrics_addr 192.0.2.1:9090; #!',
  qr/"192.0.2.1:9090" cannot be used, bind\(\) failed/ ],

[ 'one address, two snapshot settings',
  "litestream_metrics_addr 127.0.0.1:9090; #!\n"
    . "$one\nserver { litestream_snapshot interval=1h; $two }",
  qr/would be that of two Litestream processes, of database "one"/ ],
[ 'one address in two sites', "litestream_snapshot interval=1h;\n"
    . "server { $one litestream_metrics_addr :9090; }\n"
    . "server { $two litestream_metrics_addr 127.0.0.1:9090; #!\n}",
  qr/of database "one" .* and of database "two"/ ],
[ 'an address of nginx itself',
  "$one\nlitestream_metrics_addr 127.0.0.1:8080; #!\n"
    . "server { listen 127.0.0.1:8080; }",
  qr/nginx itself listens on "127\.0\.0\.1:\d+"/ ],
[ 'all addresses and one of nginx',
  "$one\nlitestream_metrics_addr :8080; #!\n"
    . "server { listen 127.0.0.1:8080; }",
  qr/nginx itself listens on "127\.0\.0\.1:\d+"/, { port => 1 } ],

# the same of the other address

[ 'mcp: no port', 'litestream_mcp_addr localhost; #!',
  qr/invalid address "localhost" in "litestream_mcp_addr" directive/ ],
[ 'mcp: two replica types', "litestream_mcp_addr 127.0.0.1:3001; #!\n"
    . "$one\nserver { litestream_replica s3://b/c region=r; $two }",
  qr/"litestream_mcp_addr" "127.0.0.1:3001" would be that of two .* "one"/ ],
[ 'mcp: that of metrics', "$one\nlitestream_metrics_addr :3001;\n"
    . 'litestream_mcp_addr 127.0.0.1:3001; #!',
  qr/"127.0.0.1:3001" cannot be used: it is that of "litestream_metrics_addr"/ ],
[ 'mcp: that of metrics of another site',
  "server { $one litestream_mcp_addr 127.0.0.1:3001; }\n"
    . "server { $two litestream_metrics_addr 127.0.0.1:3001; #!\n}",
  qr/"127.0.0.1:3001" cannot be used: it is that of "litestream_mcp_addr" in/ ],
[ 'mcp: an address of nginx itself',
  "$one\nlitestream_mcp_addr 127.0.0.1:8080; #!\n"
    . "server { listen 127.0.0.1:8080; }",
  qr/"litestream_mcp_addr" .* nginx itself listens on "127\.0\.0\.1:\d+"/ ],
[ 'mcp: a colon in the state path', "$one\nlitestream_mcp_addr :3001; #!",
  qr/"litestream_mcp_addr" does not work with a colon/, { state => 's:s' } ],

$> == 0 ? (
    [ 'one address, two users', "litestream_metrics_addr 127.0.0.1:9090; #!\n"
        . "$one\nlitestream_db three %%TESTDIR%%/three/a.sqlite3;",
      qr/would be that of two .* \(user "\Q$user\E", .* \(user "12345"/ ],
) : (),

$start > 1 ? (
    [ 'a port of root', "$one litestream_metrics_addr 127.0.0.1:1; #!",
      qr/user "\Q$user\E", which may not listen on port 1\b/ ],
) : (),

);

my @taken = (

[ 'all of it', "server { litestream_user $user; $one\n"
    . "litestream_snapshot interval=1h retention=30d; }" ],
[ 'retention alone', "litestream_snapshot retention=1y; $one" ],
[ 'an address for one', "litestream_metrics_addr 127.0.0.1:9090; $one $two" ],
[ 'two addresses', "server { $one litestream_metrics_addr 127.0.0.1:9090; }\n"
    . "server { $two litestream_metrics_addr 127.0.0.1:9091; }" ],
[ 'one port, two addresses',
  "server { $one litestream_metrics_addr 127.0.0.1:9090; }\n"
    . "server { $two litestream_metrics_addr 127.0.0.2:9090; }" ],
[ 'one address that is off in one site',
  "litestream_metrics_addr 127.0.0.1:9090;\n"
    . "$one server { $two litestream_metrics_addr off; }" ],
(map { [ "mcp: $_", "litestream_mcp_addr $_; $one" ] }
    'off', ':3001', '127.0.0.1:3001', '[::]:3001', 'localhost:3001'),
[ 'mcp: one of two sites', "server { $one litestream_mcp_addr :3001; }\n$two" ],
[ 'an address that nobody uses', 'litestream_metrics_addr 127.0.0.1:9090;' ],
(map { [ "address $_", "litestream_metrics_addr $_; $one" ] }
    ':9090', '*:9090', '0.0.0.0:9090', 'localhost:9090', '[::]:9090'),
[ 'a server without databases', "$one server { litestream_user $user; "
    . 'litestream_replica file:///nowhere; litestream_snapshot interval=1h; }' ],
[ 'many servers', join "\n", map { "server { server_name s$_;\n"
    . "litestream_db s$_ %%TESTDIR%%/one/$_.sqlite3; }" } 1 .. 300 ],

);

$t->plan(4 * @refused + @taken);

for (@refused) {
    my ($name, $text, @say) = @$_;
    my $opt = ref $say[-1] eq 'HASH' ? pop @say : {};

    $text =~ s/:8080; #!/":" . port(8080) . '; #!'/e;

    configure($text, $opt);

    my $line = $t->line_of(qr/#!/);
    my $before = $t->tree();
    my ($rc, $err) = $t->conf_test();

    is($rc, 1, "$name: refused");
    like($err, qr/\[emerg\].*$say[0]/, "$name: the reason");
    like($err, qr/\[emerg\].* in \S*nginx\.conf:$line\b/, "$name: the place");

    my $after = $t->tree();
    delete @$_{grep { m!/\w+\.log$! } keys %$_} for $before, $after;

    is_deeply($after, $before, "$name: no trace");
}

for (@taken) {
    my ($name, $text) = @$_;

    configure($text, {});

    my ($rc, $err) = $t->conf_test();
    is($rc, 0, $name) or diag($err);
}


sub configure {
    my ($text, $opt) = @_;

    $t->state_path("$dir/" . ($opt->{state} // 's'));

    $text = "litestream_replica file://$dir/replica;\n$text"
        if $opt->{replica} // $text !~ /^\s*litestream_replica/m;

    $t->write_file_expand('nginx.conf', <<EOF);
%%TEST_GLOBALS%%
daemon off;
events { }
http {
    %%TEST_GLOBALS_HTTP%%
$text
}
EOF
}
