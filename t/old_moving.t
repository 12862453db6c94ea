#!/usr/bin/perl

# From Litestream 0.3.13 to 0.5: by a reload, with the database in place, with
# a database that is lost, and back.  What 0.3 had done stays, and its backup
# is taken only as long as there is none of 0.5.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::S3;

my $t = Test::Litestream->new()->has(qw/http/)->old()
    ->has_daemon(qw/litestream sqlite3/)->plan(48);

my $dir = $t->testdir;
my $s3 = Test::Litestream::S3->new($t);
my ($replica, $path, $db);

$s3->start();
$t->db_dir('replica');

for my $where ('file', 's3') {
    $replica = $where eq 'file' ? "file://$dir/replica/PATH"
        : "s3://backups/PATH region=us-east-1 ${\ $s3->params }";

    move($where);
}


sub move {
    my ($where) = @_;

    $path = $where;
    $db = $t->db($where, rows => 3);

    # 0.3 has replicated

    use_old(1, $where);
    $t->run();
    is($t->waitforstate($where, 'replicating', 30), 'replicating',
        "$where: replicated by 0.3");
    is($db->insert(2), 5, "$where: rows");
    $t->quit();

    is(copies($where), 5, "$where: they are there");
    $t->command('cp', '-a', $db->dir, "$dir/$where-aside");

    # lost: 0.5 restores that, and goes on with it

    $db->remove();
    use_old(0, $where);
    $t->run();

    is($db->count, 5, "$where: lost, restored by 0.5");
    is($t->waitforstate($where, 'replicating', 30), 'replicating',
        "$where: lost, replicated by 0.5");
    is($db->insert(1), 6, "$where: lost, rows");
    $t->quit();
    is(copies($where), 6, "$where: lost, they are there");

    # which is what counts from here on

    $db->remove();
    $t->run();
    is($db->count, 6, "$where: the newest is restored");
    is($t->waitforstate($where, 'replicating', 30), 'replicating',
        "$where: and replicated");
    $t->quit();

    # what 0.3 has left is there until somebody removes it

    my @left = grep { m!/generations/! } left($where);
    cmp_ok(scalar @left, '>', 1, "$where: what 0.3 has left");

    # 0.3 does not go back, nor to what it had left

    use_old(1, $where);
    $t->run();
    is($t->waitforstate($where, 'error|replicating', 30), 'error',
        "$where: not back");
    like($t->database($where)->{error}, qr/holds a backup of Litestream 0\.5/,
        "$where: not back, why");
    $t->stop();

    $t->command('cp', '-a', $db->dir, "$dir/$where-newest");
    $db->remove();

    my ($rc, $err) = $t->try_run();

    isnt($rc, 0, "$where: not back, lost");
    like($err, qr/\[emerg\].* holds a backup of Litestream 0\.5, which 0\.3/,
        "$where: not back, lost, why");
    ok(!-e $db->path, "$where: not back, nothing is restored");
    $t->stop() unless $rc;

    # in place, by a reload; to a replica that is empty

    $path .= '-other';
    $t->command('rm', '-rf', $db->dir);
    $t->command('mv', "$dir/$where-newest", $db->dir);
    $t->command('rm', '-rf', $db->meta);

    use_old(1, $where);
    $t->run();
    is($t->waitforstate($where, 'replicating', 30), 'replicating',
        "$where: elsewhere, replicated by 0.3");

    my $writer = $db->writer(rate => 50);

    $writer->wait(20);
    use_old(0, $where);
    $t->reload();

    ok($t->waituntil(sub {
        ($t->status->{litestream}[0]{version} // '') =~ /^0\.[5-9]/
            && $t->database($where)->{txid};
    }, 30), "$where: reload, replicated by 0.5");

    $writer->wait($writer->acked + 20);

    my @acked = $writer->stop;
    my $rows = $db->count;

    is($t->api("sync/$where?timeout=30s", method => 'POST')->{synced} ? 1 : 0,
        1, "$where: reload, synced");
    is($t->database($where)->{error}, undef, "$where: reload, no error");
    $t->quit();
    is(copies($where), $rows, "$where: reload, they are there");
    is($writer->lost($db, @acked), 0, "$where: reload, all of them");

    # an older copy is not taken for one that goes on

    $path .= '-third';
    use_old(1, $where);
    $t->run();
    is($t->waitforstate($where, 'replicating', 30), 'replicating',
        "$where: a third one, replicated by 0.3");
    $db->insert(1);
    $t->quit();

    $t->command('rm', '-rf', $db->dir);
    $t->command('cp', '-a', "$dir/$where-aside", $db->dir);
    use_old(0, $where);
    $t->run();
    is($t->waitforstate($where, 'error|replicating', 30), 'error',
        "$where: an older copy");
    like($t->database($where)->{error}, qr/does not continue replica/,
        "$where: an older copy, why");
    $t->stop();
}


sub use_old {
    my ($old, $alias) = @_;

    my $url = $replica =~ s!PATH!$path!r;

    $t->old($old);

    $t->write_file_expand('nginx.conf', <<"EOC");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  $url;
    litestream_db       $alias ${\ $db->path };

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api write=on;
        }
    }
}

EOC
}


sub copies {
    my ($where) = @_;

    return $where eq 'file'
        ? $db->restore_count("file://$dir/replica/$path/$where")
        : $s3->restore_count("backups/$path/$where");
}


sub left {
    my ($where) = @_;

    return $where eq 'file' ? split /\n/, `find $dir/replica/$path -type f`
        : $s3->objects('backups');
}
