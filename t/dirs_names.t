#!/usr/bin/perl

# Names that people and programs make up, in a directory of databases, and what
# is no database: what can be replicated is, what cannot is told, and stops
# nobody else.

use warnings;
use strict;
use utf8;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Encode qw/ decode_utf8 encode_utf8 /;
use POSIX qw/ mkfifo /;
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(34);

my $dir = $t->testdir;
my $copies = 0;

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/t/replica;
    litestream_db       t %%TESTDIR%%/t/**/*.db;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api  write=on;
        }
    }
}

EOF

$t->db_dir($_) for qw! t t/sub t/.hidden t/replica outside !;

my @good = map { encode_utf8($_) } 'plain', 'two words', q{it's}, 'a"b',
    'c\\d', 'ä€💾', '$file', 'a;b|c&d', '-rf', '{x}', 'a,b', '[y]', '+=~@:',
    'sub/ x ';

my %db = map { $_ => Test::Litestream::DB->make("$dir/t/$_.db", rows => 2) }
    @good;

# what a directory may hold besides

my $out = Test::Litestream::DB->make("$dir/outside/out.db", rows => 2);
my $user = $db{plain}->user;

Test::Litestream::DB->make("$dir/t/$_.db", rows => 2)
    for "new\nline", "esc\e[31m", "bad\xff", '.dot', '.hidden/x', 'hard';

# Litestream would open another one's, or make a file

Test::Litestream::DB->make("$dir/t/$_.db", rows => 2)
    for '#1', 'z?mode=ro', 'sub/%2e%2e%2fplain';

sub as { my ($rc, $o, $e) = $t->as_user($user, @_); die "@_: $e\n" if $rc }

as('ln', '-s', $out->path, "$dir/t/link.db");
as('ln', '-s', "$dir/outside", "$dir/t/linked");
as('ln', "$dir/t/hard.db", "$dir/t/sub/hard.db");
as('mkfifo', "$dir/t/fifo.db");
as('mkdir', "$dir/t/dir.db");
as('sh', '-c', "echo 'no database at all' >$dir/t/text.db");
as('sh', '-c', "printf 'SQLite format 3' >$dir/t/short.db");
as('sh', '-c', ": >$dir/t/empty.db");
as('sh', '-c', "cp $dir/t/plain.db $dir/t/side.db-wal");
as('mkdir', '-p', "$dir/t/.old.db-litestream/ltx");
as('cp', "$dir/t/plain.db", "$dir/t/.old.db-litestream/inside.db");
as('cp', "$dir/t/plain.db", "$dir/t/.a.db.ngx-litestream-restore");

# a directory that its own user may not read

my $locked = $> == 0 ? "$dir/t/locked" : undef;

if ($locked) {
    mkdir $locked or die;
    chmod 0700, $locked;
}

$t->run();

for (@good) {
    is($t->waitforstate(decode_utf8("t/$_.db"), 'replicating', 30),
        'replicating', "\"$_\": replicating");
}

my $st = $t->status('t');

is(join("\n", sort map { encode_utf8($_->{alias}) } @{ $st->{databases} }),
    join("\n", sort map { "t/$_.db" } @good), 'these and no others');
is($st->{ready}, 1, 'ready');
ok(!-e "$dir/t/z", 'no file that nobody has made');

my $d = $st->{directories}[0];

is($d->{state}, 'found', 'the directory has been looked through');
like($d->{error}, qr/; and \d+ more$/, 'what is odd is told');

my ($more) = $d->{error} =~ /and (\d+) more/;

# line, escape, byte, three for URIs, two hard links, link, fifo, text, short,
# and locked

is($more, $locked ? 12 : 11, 'all of it is counted');

# the backup of each is its own

is(join(' ', grep { rows("$dir/t/replica/t/$_.db") != 2 } @good), '',
    'each has its backup');

# asked for by URL

for my $name ('two words', encode_utf8('ä€💾'), '+=~@:', 'a"b') {
    my $uri = "t/$name.db" =~ s/([^A-Za-z0-9\/._-])/sprintf '%%%02X', ord $1/ger;
    my $r = response(http_get("/litestream/status/$uri"));

    is($r->{status}, 200, "\"$name\": status");
    is(encode_utf8(json($r->{body})->{databases}[0]{alias} // ''),
        "t/$name.db", "\"$name\": which");
}

my $m = response(http_get('/litestream/metrics'))->{body};

like($m, qr!^nginx_litestream_db_ready\{db="t/a\\"b\.db"\} 1$!m,
    'metrics: a quote');
like($m, qr!^nginx_litestream_db_ready\{db="t/c\\\\d\.db"\} 1$!m,
    'metrics: a backslash');

# nobody writes lines into the log

is(scalar(my @lines = $t->read_log(qr/^line\.db/)), 0, 'no line of their own');
is(scalar(@lines = $t->read_log(qr/\e/)), 0, 'no escape sequence');

# the memory of replicas is read again, names with blanks included

$t->quit();

is(scalar(my @seen = grep { m!^(?:\S+ ){6}t/\S+ file://\S+ /\S+$! }
    split /\n/, $t->read_file('s/replicas')), scalar @good,
    'the memory of replicas');


# from where a URL can name it: in one of Litestream's own, blanks are escaped

sub rows {
    my ($path) = @_;

    my $copy = "$dir/copy" . ++$copies;

    system('cp', '-R', $path, $copy) == 0 or return -1;
    return $out->restore_count("file://$copy");
}
