#!/usr/bin/perl

# A restored file is checked while it still has its private name: one that is
# not sound never gets into place.  The check of a large one may take longer
# than the timeout, which is about progress.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(13);

my $dir = $t->testdir;
my $db = $t->db('app', rows => 5000);

# an index that says something else than its table: only a full check sees it

my $bad = $t->db('bad', rows => 5000);

$bad->sql(<<'SQL');
.dbconfig defensive off
CREATE INDEX i ON t (v);
PRAGMA writable_schema = ON;
UPDATE sqlite_master SET sql = 'CREATE INDEX i ON t (v) WHERE id < 0'
    WHERE name = 'i';
SQL
$bad->sql(<<'SQL');
.dbconfig defensive off
UPDATE t SET v = 'not in the index' WHERE id = 5;
PRAGMA writable_schema = ON;
UPDATE sqlite_master SET sql = 'CREATE INDEX i ON t (v)' WHERE name = 'i';
SQL

like($bad->integrity, qr/row 5 missing from index i/,
    'there is something to be found');

$t->db_dir('replica');
$_->replicate("file://$dir/replica/" . ($_ == $bad ? 'bad' : 'app'))
    for $db, $bad;
$_->remove() for $db, $bad;

# full: it is refused

conf('bad', 'integrity_check=full');

my $before = $t->tree($bad->dir);
my ($rc, $err) = $t->try_run();

isnt($rc, 0, 'full: nginx does not start');
like($err, qr/\[emerg\].*"bad".*integrity/, 'full: it says why');
is_deeply($t->tree($bad->dir), $before, 'full: nothing is left');

# quick does not look at indices, none at nothing

for my $check (qw/ quick none /) {
    conf('bad', "integrity_check=$check");

    ($rc, $err) = $t->try_run();

    is($rc, 0, "$check: nginx starts") or diag($err);
    is(join(' ', $bad->beside), '', "$check: nothing is left beside it");

    $t->stop();
    $bad->remove();
}

# a check that takes longer than the timeout, busily

my $real = $t->litestream;

$t->litestream_bin($t->write_file('busy', <<EOS));
#!/bin/sh
[ "\$1" = restore ] || exec $real "\$@"
$real "\$@" || exit
end=\$((\$(date +%s) + 4))
while [ \$(date +%s) -lt \$end ]; do :; done
exit 0
EOS
chmod 0755, "$dir/busy";

conf('app', 'timeout=2s');

my $begin = $t->now;

($rc, $err) = $t->try_run();

is($rc, 0, 'busy: nginx starts') or diag($err);
cmp_ok($t->now - $begin, '>', 2, 'busy: it took longer than the timeout');
is($db->count, 5000, 'busy: rows');

$t->stop();
$db->remove();

# and one that hangs

$t->litestream_bin($t->write_file('hung', <<EOS));
#!/bin/sh
[ "\$1" = restore ] || exec $real "\$@"
$real "\$@" || exit
exec sleep 600
EOS
chmod 0755, "$dir/hung";

conf('app', 'timeout=1s');

($rc, $err) = $t->try_run();

isnt($rc, 0, 'hung: nginx does not start');
like($err, qr/\[emerg\].*"app".*no progress within 1 s/, 'hung: it says why');


sub conf {
    my ($name, $restore) = @_;

    $t->write_file_expand('nginx.conf', <<"EOC");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_restore  blocking $restore;
    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       $name %%TESTDIR%%/$name/db.sqlite3;

    server {
        listen  127.0.0.1:8080;
    }
}

EOC
}
