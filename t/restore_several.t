#!/usr/bin/perl

# Several missing databases: all of them are restored before nginx runs, so
# many at a time as litestream_restore says.  If one of them cannot be, nginx
# does not start, and what else is under way ends at once.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(26);

my $dir = $t->testdir;
my $real = $t->litestream;

# one that is slow, one that is refused, and who ran at the same time

$t->litestream_bin($t->write_file('wrapper', <<EOS));
#!/bin/sh
[ "\$1" = restore ] || exec $real "\$@"
touch $dir/running/\$\$
ls $dir/running | wc -l >>$dir/running.log
if [ -e $dir/slow ]; then
    case "\$*" in
        *slow*) echo x >"\$(echo "\$*" | sed 's/.* -o \\([^ ]*\\).*/\\1/').tmp"
                exec sleep 600 ;;
        *bad*)  while ! ls $dir/slow.d/.*.tmp >/dev/null 2>&1; do sleep 0.05
                done; echo 'Error: refused' >&2; exit 1 ;;
    esac
fi
sleep 0.3
$real "\$@"
rc=\$?
rm $dir/running/\$\$
exit \$rc
EOS
chmod 0755, "$dir/wrapper";

$t->db_dir('running');
chmod 0777, "$dir/running";
chmod 0666, $t->write_file('running.log', '');
$t->db_dir('replica');

# two of them in one directory

my %db = map { $_ => $t->db("$_.d", rows => 3) } qw/ bad good slow /;

$db{beside} = Test::Litestream::DB->make("$dir/good.d/beside", rows => 4);

for (sort keys %db) {
    $db{$_}->replicate("file://$dir/replica/$_");
}

# all of them

for my $n (1, 3) {
    $_->remove() for values %db;
    $t->write_file('running.log', '');
    conf($n);

    my ($rc, $err) = $t->try_run();

    is($rc, 0, "$n at a time: nginx starts") or diag($err);
    is(join(' ', map { $db{$_}->count } sort keys %db), '3 4 3 3',
        "$n at a time: rows");

    my @running = split ' ', $t->read_file('running.log');

    is(scalar @running, 4, "$n at a time: restores");
    is((sort { $b <=> $a } @running)[0], $n, "$n at a time");

    for (sort keys %db) {
        is($t->waitforstate($_, 'replicating'), 'replicating',
            "$n at a time: $_");
    }

    ok($t->stop(), 'stop');
}

# one fails while another one takes its time

$_->remove() for values %db;
$t->write_file('slow', '');
conf(4);

my $begin = $t->now;
my ($rc, $err) = $t->try_run();

isnt($rc, 0, 'one fails: nginx does not start');
like($err, qr/\[emerg\].*database "bad": .*refused/,
    'one fails: it says which');
is(scalar(() = $err =~ /\[emerg\]/g), 1, 'one fails: one reason');
cmp_ok($t->now - $begin, '<', $t->ceiling(10), 'one fails: at once');
is(join(' ', $db{slow}->beside, $db{bad}->beside), '',
    'one fails: nothing is left');

# what was restored may stay, what was not is not there

ok(!-e $db{slow}->path && !-e $db{bad}->path, 'one fails: not in place');

# then all

unlink "$dir/slow", glob "$dir/running/*";

($rc, $err) = $t->try_run();

is($rc, 0, 'then nginx starts') or diag($err);
is(join(' ', map { $db{$_}->count } sort keys %db), '3 4 3 3', 'rows');


sub conf {
    my ($n) = @_;

    $t->write_file_expand('nginx.conf', <<"EOC");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_restore  blocking concurrency=$n;

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       bad %%TESTDIR%%/bad.d/db.sqlite3;
    litestream_db       beside %%TESTDIR%%/good.d/beside;
    litestream_db       good %%TESTDIR%%/good.d/db.sqlite3;
    litestream_db       slow %%TESTDIR%%/slow.d/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api;
        }
    }
}

EOC
}
