#!/usr/bin/perl

# Every key of Litestream's configuration has its place in a base config: it
# is written as it was said, or refused with what to say instead.  The table
# is compared with the real Litestream: with the names in its program, and with
# what it reads at each place.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::Migration;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream sqlite3/);

my $dir = $t->testdir;
my $db = $t->db('app')->path;
my $file = $t->write_file('customer.key', 'k' x 32);
my $hostkey = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI' . 'A' x 43;

$t->write_file_expand('nginx.conf', <<'EOC');
%%TEST_GLOBALS%%
daemon off;
events { }
http {
    %%TEST_GLOBALS_HTTP%%
    litestream_base_config base.yml;
    server {
        listen 127.0.0.1:8080;
    }
}
EOC

my %expand = (DB => $db, DIR => $dir, FILE => $file, HOSTKEY => $hostkey);
my @rows = migration_keys('data/litestream.keys');

for my $row (@rows) {
    s/%%([A-Z]+)%%/$expand{$1}/g for @$row{qw/ value becomes /};
}

# what a replica of a type needs, and what goes with a key

my %need = (
    file => [],
    s3 => [ bucket => 'b', path => 'p' ],
    gs => [ bucket => 'b', path => 'p' ],
    abs => [ bucket => 'c', path => 'p', 'account-name' => 'acc' ],
    oss => [ bucket => 'b', path => 'p' ],
    sftp => [ host => 'h', path => '/p', user => 'u' ],
    webdav => [ 'webdav-url' => 'http://h:80/d', path => 'p' ],
    nats => [ url => 'nats://h' ],
);

my %with = (
    'access-key-id' => 'secret-access-key',
    'secret-access-key' => 'access-key-id',
    jwt => 'seed', seed => 'jwt', username => 'password',
    'webdav-username' => 'webdav-password',
    'webdav-password' => 'webdav-username',
    'client-cert' => 'client-key', 'client-key' => 'client-cert',
);

# names in the program

my %binary = map { $_ => 1 }
    slurp($t->litestream_bin) =~ /\byaml:"([a-z0-9-]{2,})"/g;
my %table = map { $_->{key} => 1 } grep { $_->{type} ne '0.3' } @rows;
my %old = map { $_->{key} => 1 } grep { $_->{type} eq '0.3' } @rows;

cmp_ok(scalar keys %binary, '>', 80, 'keys in the program');
is(join(' ', sort keys %table), join(' ', sort keys %binary),
    'the table has them all');

# each at its place

for my $row (@rows) {
    my ($place, $type, $key) = @$row{qw/ place type key /};

    check($row, "$place $key" . ($type eq '-' ? '' : " ($type)"),
        file($row));

    # the top of the file has the defaults of replicas

    check($row, "default $key ($type)", file($row, 1))
        if $place eq 'replica' && $row->{becomes} !~ /^url/ && $need{$type}
            && !grep { $_ eq $key } @{ $need{$type} }, 'name';
}

# what has a type is a parameter, too

my %url = (s3 => 's3://b/p', abs => 'abs://acc@c/p', oss => 'oss://b/p',
    sftp => 'sftp://u@h/p', webdav => 'webdav://h/d/p', nats => 'nats://h/b-$alias');

for my $row (grep { $url{$_->{type}} && $_->{becomes} =~ /^(?:=|secret)/
    && $_->{key} !~ /^(?:host|bucket)$/ } @rows)
{
    parameter($row, "parameter $row->{key} ($row->{type})");
}

# and at no other one: Litestream knows a key where a wrong value for it is
# refused

my %places = (
    top => '%s',
    socket => "socket:\n%s",
    levels => "levels:\n -\n%s",
    snapshot => "snapshot:\n%s",
    validation => "validation:\n%s",
    retention => "retention:\n%s",
    logging => "logging:\n%s",
    db => "dbs:\n -\n%s",
    replica => "dbs:\n - path: $db\n   replica:\n%s",
    age => "age:\n%s",
);

for my $place (sort keys %places) {
    my %known = map { $_ => 1 } map { $_->{key} }
        grep { $_->{type} ne '0.3' && ($_->{place} eq $place
            || $place eq 'top' && $_->{place} eq 'replica'
                && $_->{key} !~ /^(?:type|name|path|url)$/) } @rows;

    is(join(' ', litestream($place)), join(' ', sort keys %known),
        "$place: as Litestream");

    next if $place =~ /^(?:socket|age)$/;

    my @wrong;

    # of what is in a mapping of its own, those of other such mappings

    my %other = $place =~ /^(?:top|db|replica)$/ ? %binary
        : map { $_->{key} => 1 }
            grep { $_->{place} !~ /^(?:top|db|replica)$/ } @rows;

    for (sort keys %other) {
        next if $known{$_}
            || $old{$_} && $place eq 'replica' && $_ eq 'retention';

        my $out = test(sprintf $places{$place}, "    $_: x\n");
        push @wrong, $_ unless $out =~ /\[emerg\].*unknown key "$_".*yml:\d+$/m;
    }

    is("@wrong", '', "$place: the others are unknown");
}

done_testing();


# a configuration with that key

sub file {
    my ($row, $top) = @_;

    my ($place, $type, $key, $value) = @$row{qw/ place type key value /};

    $type = 'file' unless $need{$type};

    my %own = ($key => $value);
    $own{$with{$key}} = '/x' if $with{$key};
    $own{username} = 'x' if $key eq 'password' && $type eq 'nats';

    %own = (dir => "$dir/app", pattern => '"*.db"', $key => $value)
        if $row->{becomes} eq 'dir';

    my @have = ('type' => $type, @{ $need{$type} });
    @have = @{ $need{nats} } if $type eq 'nats';
    push @have, path => '/mnt/r' if $type eq 'file' && $key ne 'url';
    $have[1] .= '/b' if $type eq 'nats' && $key ne 'bucket';

    my $replica = '';

    while (my ($name, $said) = splice @have, 0, 2) {
        next if $place eq 'replica' && exists $own{$name};
        next if $key eq 'url' && $type eq 'file';
        $replica .= "      $name: $said\n";
    }

    my $own = join '', map { "$_: $own{$_}\n" } sort keys %own;

    my $yml = $place =~ /^(?:top|db|replica)$/ ? ''
        : $place eq 'levels' ? "levels:\n  - $own" : "$place:\n  $own";

    $yml .= $own if $place eq 'top' || $top;
    return $yml if $key eq 'dbs';

    $replica .= $own =~ s/^/      /gmr if $place eq 'replica' && !$top;

    return "${yml}dbs:\n  -\n"
        . ($key eq 'path' && $place eq 'db' || $own{dir} ? ''
            : "    path: $db\n")
        . ($place eq 'db' ? $own =~ s/^/    /gmr : '')
        . ($key =~ /^replicas?$/ ? '' : "    replica:\n$replica");
}


sub check {
    my ($row, $name, $yml) = @_;

    my ($key, $value, $becomes) = @$row{qw/ key value becomes /};

    $t->write_file('base.yml', $yml);
    chmod 0600, "$dir/base.yml";

    my ($rc, $out) = $t->nginx('-T');

    if ($becomes =~ /^no (.+)/) {
        like($out, qr/\[emerg\].*"(?:$key|$row->{place})".*\Q$1\E/,
            "$name: refused") or diag($yml);
        return;
    }

    my ($dump) = $out =~ m!^# configuration file \S+/litestream\.yml:\n(.*)!ms;

    unless (ok(!$rc && defined $dump || $key eq 'dbs', "$name: accepted")) {
        diag($yml, $out);
        return;
    }

    return if $key eq 'dbs';

    # by Litestream, too

    $t->write_file('generated.yml', $dump =~ s/"\*\*\*"/"http:\/\/x"/gr);

    my ($code, undef, $err) = $t->command($t->litestream_bin, 'databases',
        '-config', "$dir/generated.yml");
    is("$code$err", '0', "$name: Litestream accepts it") or diag($dump);

    return if $becomes eq 'dir';

    if ($becomes =~ /^url/) {
        unlike($dump, qr/bucket: "?b"?$/m, "$name: in the URL");

    } elsif ($becomes eq 'out') {
        unlike($dump, qr/$key/, "$name: left out");
        like($out, qr/\[warn\] "$key" is a key of Litestream 0\.3.*base\.yml/,
            "$name: warning");

    } elsif ($row->{type} eq '0.3') {
        like($dump, qr/^snapshot:\n  \Q$becomes\E$/m, "$name: $becomes");

    } else {
        my $want = $becomes eq 'secret' ? '"***"'
            : $becomes =~ /^= (.+)/ ? $1 : $value;

        $key = 'replica' if $key eq 'replicas';
        $key = 'url' if $becomes =~ /nats:/;
        $want = '' if $want eq '-';

        like($dump, qr/^[ -]*$key:\s+(?:[\s-]+\w*:?\s*)?(["']?)\Q$want\E/m,
            "$name: $want") or diag($dump);
    }
}


# the same by litestream_replica

sub parameter {
    my ($row, $name) = @_;

    my ($key, $value, $becomes, $type) = @$row{qw/ key value becomes type /};

    my %own = ($key => $value);
    $own{$with{$key}} = '/x' if $with{$key};
    $own{username} = 'x' if $key eq 'password' && $type eq 'nats';

    my $url = $key eq 'user' || $key eq 'account-name'
        ? $url{$type} =~ s/\w+@//r : $url{$type};

    my %word = (true => 'on', false => 'off');
    my $params = join ' ', map {
        my $v = $word{$own{$_}} // $own{$_};
        $v =~ s/^\[(.*)\]$/$1/;
        '"' . s/-/_/gr . "=$v\""
    } sort keys %own;

    my $conf = $t->read_file('nginx.conf');

    $t->write_file('param.conf', $conf =~ s{litestream_base_config.*;}
        {litestream_replica $url $params;\n    litestream_db app $db;}r);
    chmod 0600, "$dir/param.conf";

    my ($rc, $out) = $t->nginx({ conf => "$dir/param.conf" }, '-T');
    my ($dump) = $out =~ m!^# configuration file \S+/litestream\.yml:\n(.*)!ms;

    my $want = $becomes eq 'secret' ? '"***"'
        : $becomes =~ /^= (.+)/ ? $1 : $value;
    $want = '' if $want eq '-';

    ok(!$rc && defined $dump && $dump =~ /^ +$key:\s+(["']?)\Q$want\E/m,
        $name) or diag($params, $out);
}


sub test {
    my ($yml) = @_;

    $t->write_file('base.yml', $yml);
    return ($t->conf_test)[1];
}


# the keys that Litestream reads there

sub litestream {
    my ($place) = @_;

    my ($before) = $places{$place} =~ /(.*)%s/s;
    my $first = 1 + ($before =~ tr/\n//);

    # some are read before the others

    my @names = sort keys %binary;
    my @read;

    for ( ;; ) {
        $t->write_file('wrong.yml', sprintf $places{$place},
            join '', map { "    $_: [[[1]]]\n" } @names);

        my ($rc, $out, $err) = $t->command($t->litestream_bin, 'databases',
            '-config', "$dir/wrong.yml");

        my %line = map { $_ - $first => 1 }
            $err =~ /^ +line (\d+): cannot unmarshal/mg;

        last unless %line;

        push @read, map { $names[$_] } keys %line;
        @names = map { $names[$_] } grep { !$line{$_} } 0 .. $#names;
    }

    return sort @read;
}


sub slurp {
    open my $f, '<', $_[0] or die "open($_[0]) failed: $!\n";
    binmode $f;
    local $/;
    return scalar <$f>;
}
