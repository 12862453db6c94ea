#!/usr/bin/perl

# A worker that is asked for the status again and again in one millisecond
# gives the same answer, but never one that somebody else may see, nor one
# from before something has changed.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/)->plan(10);

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    litestream_replica  file://%%TESTDIR%%/replica;
    litestream_db       app %%TESTDIR%%/app/db.sqlite3;
    litestream_db       other %%TESTDIR%%/other/db.sqlite3;

    server {
        listen  127.0.0.1:8080;

        location /litestream/ {
            litestream_api write=on;
        }

        location /app/ {
            litestream_api db=app;
        }

        location /other/ {
            litestream_api db=other;
        }
    }
}

EOF

my $db = $t->db('app', rows => 7);

$t->db('other', rows => 7);
$t->db_dir('replica');

$t->run();

is($t->waitforstate($_, 'replicating'), 'replicating', $_) for qw/ app other /;

# all in one turn of the worker's loop: its clock stands still meanwhile

my @uris = map { ("/$_/status") x 3, "/$_/status/$_", '/litestream/status' }
    qw/ app other app /;
my @answers = pipelined(@uris);

is_deeply([ map { aliases($_) } @answers ], [ map {
    m!^/litestream! ? 'app other' : m!^/(\w+)! } @uris ], 'what is visible');

is(scalar(grep { $answers[$_] eq $answers[$_ + 1] } 0, 1), 2,
    'the same answer');
is($answers[0], $answers[10], 'after others');

# an answer to POST means that the status says so, whoever asks how soon

my $bad = '';

for (1 .. 30) {
    $db->insert(1);

    my (undef, $post, $get) = pipelined('/litestream/status',
        'POST /litestream/sync/app', '/litestream/status');

    my $txid = json($post)->{txid} // 'none';
    my ($seen) = grep { $_->{alias} eq 'app' } @{ json($get)->{databases} };

    $bad .= "$txid, $seen->{txid}; " if $txid gt $seen->{txid};
}

is($bad, '', 'what a sync has said');

# nothing is written any more

$t->signal('STOP', $t->supervisor_pid);

my $begin = lag();

ok($t->waituntil(sub { lag() > $begin + 1 }), 'time goes on');
ok($t->waituntil(sub { $t->status->{supervisor}{state} eq 'down' }),
    'and a supervisor is missed');

$t->signal('CONT', $t->supervisor_pid);

is($t->waitforstate('app', 'replicating'), 'replicating', 'goes on');
ok($t->waituntil(sub { $t->status->{supervisor}{state} eq 'up' }), 'is up');


sub lag { return $t->status->{databases}[0]{lag_seconds} }


sub aliases {
    my $st = json($_[0]);
    return join ' ', map { $_->{alias} } @{ $st->{databases} };
}


# the bodies of the answers to requests that are sent at once

sub pipelined {
    my (@uris) = @_;

    my ($n, $text) = (0, '');

    for (@uris) {
        my ($method, $uri) = /^(POST) (.*)/ ? ($1, $2) : ('GET', $_);

        $text .= "$method $uri HTTP/1.1\r\nHost: localhost\r\n"
            . ($method eq 'POST' ? "Content-Length: 0\r\n" : '')
            . (++$n == @uris ? "Connection: close\r\n" : '') . "\r\n";
    }

    my $all = http($text) // '';
    my @bodies;

    while ($all =~ s/^HTTP\/1\.1\ 200\ .*?\r\n
        Content-Length:\ (\d+)\r\n.*?\r\n\r\n//sx)
    {
        push @bodies, substr $all, 0, $1, '';
    }

    return @bodies;
}
