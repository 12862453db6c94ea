#!/usr/bin/perl

# Litestream's MCP server: its tools answer over HTTP, for the databases that
# nginx replicates, whatever Litestream is called and whatever is in a name.
# They restore, and cannot end the replication.  An address that others can
# reach is warned of.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::DB;
use Test::Litestream::Proc qw/ config_of slurp /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(33);

my $dir = $t->testdir;

# of another name, in a folder that is not in PATH, with a quote in it

mkdir "$dir/it's" or die "mkdir() failed: $!\n";
$t->command('cp', $t->litestream, "$dir/it's/ls");
$t->litestream_bin("\"$dir/it's/ls\"");

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/$HOME/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api db=app,tools;
        }
    }

    server {
        listen  127.0.0.1:8081;

        litestream_mcp_addr  127.0.0.1:%%PORT_8090%%;
        litestream_db        tools %%TESTDIR%%/$HOME/tools.sqlite3;
    }
}

EOF

my $db = $t->db('$HOME', rows => 2);
my $path = "$dir/\$HOME/tools.sqlite3";
my $tools = Test::Litestream::DB->make($path, rows => 3);

$t->db_dir('replica');
$t->db_dir('out');

$t->run(env => { PATH => '/usr/bin:/bin' });

is($t->waitforstate($_, 'replicating'), 'replicating', "$_: replicating")
    for qw/ app tools /;

is(scalar(my @pids = $t->litestream_pids), 2, 'two Litestreams');

my ($pid) = grep { slurp(config_of($_)->{file}) =~ /^mcp-addr/m } @pids;
my $yml = config_of($pid)->{file};

like(slurp($yml), qr/^mcp-addr: "127\.0\.0\.1:${\ port(8090) }"$/m,
    'one has the address');
is(join(' ', map { $_->{path} }
    @{ $t->control('/list', pid => $pid)->{databases} }), $path,
    'it is that of the site');

ok(!$t->read_log(qr/\[warn\].*litestream_mcp_addr/),
    'no warning about a loopback address');

# initialize

ok($t->waitforsocket('127.0.0.1:' . port(8090)), 'somebody listens');

my $session;
my $r = mcp('initialize', { protocolVersion => '2025-03-26',
    capabilities => {}, clientInfo => { name => 'test', version => '1' } });

is($r->{result}{serverInfo}{name}, 'Litestream MCP Server', 'initialize');

# tools/list

my %tool = map { $_->{name} => 1 } @{ mcp('tools/list')->{result}{tools} };

ok($tool{"litestream_$_"}, "there is a tool $_")
    for qw/ databases info ltx restore status version /;

# tools/call

is(tool('version'), "0.5.17\n", 'version');
like(tool('databases'), qr/^\Q$path\E +file$/m, 'databases');
unlike(tool('databases'), qr/db\.sqlite3/, 'databases of its own alone');
like(tool('status'), qr/^\Q$path\E +ok +[0-9a-f]{16} /m, 'status');
like(tool('ltx', path => $path), qr/^0 +0{15}1 +0{15}1 /m, 'ltx');
like(tool('info'), qr/\Q$yml\E.*^Database: \Q$path\E\n.*^0 +0{15}1 /ms,
    'info');

# restore, to a new file, which is the user's

is(tool('restore', path => $path, o => "$dir/out/copy"), '', 'restore');
is((stat "$dir/out/copy")[4], (stat $path)[4], 'the copy is of the same user');
is(Test::Litestream::DB->new("$dir/out/copy")->sql('SELECT count(*) FROM t'),
    3, 'with all rows');

like(error('restore', path => $path), qr/already exists/,
    'not over a database');
is($tools->sql('SELECT count(*) FROM t'), 3, 'which is as it was');

# a reset would end the replication until a restart

like(error('reset', path => $path), qr/^reset: not while it is replicated/,
    'no reset');

my $rows = $tools->insert(1, 'after a reset');

ok($t->waituntil(sub {
    ($tools->restore_count("file://$dir/replica/tools") // 0) == $rows;
}), 'replication goes on');

# what is asked is in the log, and is not taken for a reason

ok($t->waitforlog(qr/\[info\].* $pid: \[\] .*POST/), 'requests are logged');

$t->signal('KILL', $pid);

ok($t->waitforlog(qr/litestream process $pid of group \S+ exited on signal 9$/),
    'they do not become the reason of an end');

# an address that others can reach

my $conf = $t->read_file('nginx.conf');

$t->write_file('nginx.conf', $conf =~ s/(mcp_addr +)127\.0\.0\.1:/$1:/r);

my (undef, $err) = $t->conf_test();
my $line = $t->line_of(qr/litestream_mcp_addr/);

like($err, qr/\[warn\].*"litestream_mcp_addr" ":\d+" is not a loopback address/,
    'all addresses: a warning');
like($err, qr/\[warn\].* in \S*nginx\.conf:$line\b/, 'and the place');

# with the address goes what was made for its tools

my ($folder) = $yml =~ m!(.*)/!;

ok(-e "$folder/litestream", 'a file for the tools');

$t->write_file('nginx.conf', $conf =~ s/.*litestream_mcp_addr.*\n//r);
$t->reload();

ok($t->waituntil(sub { !-e "$folder/litestream" }), 'it is removed');


sub mcp {
    my ($method, $params) = @_;

    my $body = JSON::PP->new->encode({ jsonrpc => '2.0', id => 1,
        method => $method, $params ? (params => $params) : () });

    my $answer = response(http_post('/mcp', $body,
        headers => {
            'Content-Type' => 'application/json',
            'Accept' => 'application/json, text/event-stream',
            $session ? ('Mcp-Session-Id' => $session) : (),
        },
        peer => '127.0.0.1:' . port(8090), ceiling => 20));

    $session //= $answer->{headers}{'mcp-session-id'};

    return eval { json($answer->{body}) } || {};
}


sub call {
    my ($name, %args) = @_;
    return mcp('tools/call', { name => "litestream_$name",
        arguments => \%args })->{result} || {};
}


sub text { return $_[0]{content}[0]{text} }


sub tool {
    my $r = call(@_);
    return $r->{isError} ? 'error: ' . text($r) : text($r);
}


sub error {
    my $r = call(@_);
    return $r->{isError} ? text($r) : 'no error';
}
