package Test::Litestream::DB;

# SQLite databases of a test, by way of the sqlite3 tool, always as the user
# that they belong to; and what a user would trust of their backups: a restore
# by Litestream itself, then a look at the rows.

use warnings;
use strict;

use File::Basename qw/ dirname /;
use File::Path qw/ remove_tree /;
use JSON::PP;
use Test::More qw//;

use Test::Litestream::Command qw/ become ids run_command /;
use Test::Litestream::Proc qw/ slurp /;


my $copies = 0;


# a database that is there, or will be.  user: else the owner of the file, or
# of its directory

sub new {
    my ($class, $path, %opt) = @_;
    return bless { path => $path, user => $opt{user} }, $class;
}


# a new one, with the table t (id, v).  rows => N, size => BYTES (about, at
# least), wal => 0: journal_mode delete, mode => 0640

sub make {
    my ($class, $path, %opt) = @_;

    my $self = $class->new($path, user => $opt{user});
    my $mode = $opt{wal} // 1 ? 'WAL' : 'DELETE';

    die "$path exists\n" if -e $path;

    $self->sql("PRAGMA journal_mode = $mode;"
        . 'CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);'
        . 'CREATE TABLE pad (id INTEGER PRIMARY KEY, data BLOB);');

    chmod $opt{mode}, $path if defined $opt{mode};

    $self->insert($opt{rows}) if $opt{rows};
    $self->grow($opt{size}) if $opt{size};

    return $self;
}


sub path { return $_[0]{path} }

sub dir { return dirname($_[0]{path}) }


sub user {
    my ($self) = @_;

    return $self->{user} if defined $self->{user};

    my @st = stat $self->{path};
    @st = stat $self->dir unless @st;

    return $st[4];
}


# (exit code, stdout, stderr)

sub try_sql {
    my ($self, $sql) = @_;

    return run_command({ user => $self->user, stdin => "$sql\n",
            env => { HOME => '/nonexistent' } },
        'sqlite3', '-batch', '-bail', '-cmd', '.timeout 10000',
        $self->{path});
}


# what it prints; dies when something is wrong

sub sql {
    my ($self, $sql) = @_;

    my ($rc, $out, $err) = $self->try_sql($sql);
    die "sqlite3 $self->{path}: $sql: $err\n" if $rc || $err ne '';

    chomp $out;
    return $out;
}


# Somebody who has it open, in the middle of something: the pid of a sqlite3
# that has done this and goes on waiting, a daemon of the test.

sub hold {
    my ($self, $sql) = @_;

    my $t = Test::Litestream->current;
    my $user = $self->user;

    pipe my $read, my $in or die "pipe() failed: $!\n";
    pipe my $out, my $write or die "pipe() failed: $!\n";

    my $pid = Test::Litestream::Command::fork_with([$read, $write, *STDERR],
        sub {
            close $in;
            become($user);
            $ENV{HOME} = '/nonexistent';
            chdir '/';
            exec 'sqlite3', '-batch', '-bail', $self->{path};
        });

    close $write;
    push @{ $t->{daemons} }, $pid;
    push @{ $self->{held} }, $in;

    syswrite $in, "$sql\n;SELECT 'done';\n";

    while (my $line = <$out>) {
        return $pid if $line eq "done\n";
    }

    die "sqlite3 $self->{path}: $sql failed\n";
}


# 1: one of these processes has one of SQLite's locks of readers, which are bytes
# 123 to 127 of the shared memory

sub locked {
    my ($self, @pids) = @_;

    my $ino = (stat "$self->{path}-shm")[1] or return 0;
    my %of = map { $_ => 1 } @pids;

    for (split /\n/, slurp('/proc/locks')) {
        next unless / (\d+) [0-9a-f]+:[0-9a-f]+:$ino (\d+) \d+$/;
        return 1 if $of{$1} && $2 >= 123 && $2 <= 127;
    }

    return 0;
}


# N rows in one transaction; the largest id

sub insert {
    my ($self, $n, $value) = @_;

    $n //= 1;
    $value = ($value // 'row') =~ s/'/''/gr;

    return $self->sql('WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL '
        . "SELECT x + 1 FROM c WHERE x < $n) INSERT INTO t (v) "
        . "SELECT '$value' FROM c; SELECT max(id) FROM t;");
}


sub write { return insert(@_) }


# about so many bytes more, that do not compress

sub grow {
    my ($self, $bytes) = @_;

    my $n = int(($bytes + 65535) / 65536);

    $self->sql('WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL '
        . "SELECT x + 1 FROM c WHERE x < $n) INSERT INTO pad (data) "
        . 'SELECT randomblob(64000) FROM c;');

    return $self->size;
}


sub size { return -s $_[0]{path} // 0 }


# rows of t; -1: cannot be told

sub count {
    my ($self, $where) = @_;

    # sqlite3 would make it

    return -1 unless -e $self->{path};

    my ($rc, $out, $err) = $self->try_sql('SELECT count(*) FROM t'
        . (defined $where ? " WHERE $where;" : ';'));

    Test::More::note("$self->{path}: $err") if $rc;
    return $rc ? -1 : $out + 0;
}


sub integrity { return $_[0]->sql('PRAGMA integrity_check;') }


sub files {
    my ($self) = @_;
    return map { "$self->{path}$_" } '', '-wal', '-shm', '-journal';
}


# names in its directory that are neither its own nor Litestream's

sub beside {
    my ($self) = @_;

    my %own = map { $_ => 1 } $self->files, $self->meta;

    opendir my $d, $self->dir or die "opendir(${\ $self->dir }) failed: $!\n";
    return sort grep { !/^\.\.?$/ && !$own{$self->dir . "/$_"} } readdir $d;
}


# all of it, as if the machine had been lost; keep_meta => 1: not Litestream's
# directory

sub remove {
    my ($self, %opt) = @_;

    unlink $self->files;

    remove_tree($self->meta) unless $opt{keep_meta};
}


# Litestream's directory

sub meta {
    my ($self) = @_;
    return $self->{path} =~ s!([^/]+)$!.$1-litestream!r;
}


# Litestream, which takes AWS_CA_BUNDLE amiss.  env => { }, user

sub litestream {
    my ($self, $opt, @args) = @_;

    return run_command({ user => $opt->{user},
            env => { AWS_CA_BUNDLE => undef, %{ $opt->{env} || {} } },
            ceiling => $opt->{ceiling} },
        Test::Litestream->current->litestream, @args);
}


# replicates it once, by Litestream itself; args => [ ]

sub replicate {
    my ($self, $url, %opt) = @_;

    my ($rc, $out, $err) = $self->litestream({ user => $self->user, %opt },
        'replicate', '-once', @{ $opt{args} || [] }, $self->{path}, $url);
    die "replicate $self->{path}: $out$err\n" if $rc;

    return $self;
}


# restores a replica to a new file: the database, or undef and why.  options
# of Litestream: args => [ ]

sub restore {
    my ($self, $url, %opt) = @_;

    my $to = $opt{to} // Test::Litestream->current->testdir
                         . '/restored-' . ++$copies;

    my ($rc, $out, $err) = $self->litestream(\%opt, 'restore', '-o', $to,
        @{ $opt{args} || [] }, $url);

    return wantarray ? (undef, "exit code $rc: $err") : undef if $rc;
    return __PACKAGE__->new($to);
}


# rows that a restore brings back; -1: it does not work

sub restore_count {
    my ($self, $url, %opt) = @_;

    my ($copy, $err) = $self->restore($url, %opt);

    unless ($copy) {
        Test::More::note("restore of $url: $err")
            if ($self->{said} // '') ne $err;
        $self->{said} = $err;
        return -1;
    }

    my $n = $copy->integrity eq 'ok' ? $copy->count($opt{where}) : -1;
    unlink $copy->files;

    return $n;
}


# what a replica holds, as Litestream lists it; undef: it does not

sub ltx {
    my ($self, $url, %opt) = @_;

    my ($rc, $out, $err) = $self->litestream(\%opt, 'ltx', '-level', 'all',
        '-json', $url);

    Test::More::note("ltx $url: $err") if $rc;
    return $rc ? undef : JSON::PP->new->utf8->decode($out);
}


# the newest transaction of a replica: 16 hex digits, '' for an empty one

sub txid {
    my ($self, $url, %opt) = @_;

    my $ltx = $self->ltx($url, %opt) // [];
    return (sort map { $_->{max_txid} } @$ltx)[-1] // '';
}


# A daemon that commits row after row, and notes each that SQLite has
# acknowledged.  rate => commits per second, 0: as many as it can; reopen => 1:
# a new connection for each commit, so that a restored file is seen

sub writer {
    my ($self, %opt) = @_;

    my $t = Test::Litestream->current;
    my $user = $self->user;

    my $w = bless {
        test => $t, db => $self, tag => "w$$-" . ++$copies,
    }, 'Test::Litestream::DB::Writer';

    $w->{file} = $t->write_file($w->{tag}, '');
    chown ids($user), $w->{file} if $> == 0;

    $w->{pid} = $t->run_daemon(sub {
        become($user);
        chdir '/';
        $w->_loop($opt{rate} // 50, $opt{reopen});
    });

    return $w;
}


package Test::Litestream::DB::Writer;


sub _loop {
    my ($self, $rate, $reopen) = @_;

    my ($n, $stop, $in, $out, $pid) = (1, 0);

    local $SIG{TERM} = sub { $stop = 1 };
    local $SIG{PIPE} = 'IGNORE';

    open my $acks, '>>', $self->{file} or die "$self->{file}: $!\n";

    until ($stop) {
        unless ($pid) {
            ($pid, $in, $out) = $self->_sqlite3;
        }

        syswrite $in, "INSERT INTO t (v) VALUES ('$self->{tag}-$n');\n"
                      . "SELECT 'ack';\n";

        my $line = <$out>;

        if (defined $line) {
            syswrite $acks, "$n\n";
            $n++;
        }

        if ($reopen || !defined $line) {
            close $in;
            waitpid $pid, 0;
            $pid = 0;

            # a number is never used twice: it may have been committed

            $n++ unless defined $line;
            select undef, undef, undef, 0.02 unless defined $line;
        }

        select undef, undef, undef, 1 / $rate if $rate;
    }

    if ($pid) {
        close $in;
        waitpid $pid, 0;
    }
}


sub _sqlite3 {
    my ($self) = @_;

    pipe my $read, my $in or die "pipe() failed: $!\n";
    pipe my $out, my $write or die "pipe() failed: $!\n";

    my $pid = Test::Litestream::Command::fork_with([$read, $write, *STDERR],
        sub {
            $ENV{HOME} = '/nonexistent';
            exec 'sqlite3', '-batch', '-bail', '-cmd', '.timeout 10000',
                $self->{db}{path};
        });

    return ($pid, $in, $out);
}


# the rows of a value that this writer has made, whether noted or not

sub where { return "v LIKE '$_[0]{tag}-%'" }


# numbers of the commits that were acknowledged

sub acked {
    my ($self) = @_;
    return split /\n/, Test::Litestream::Proc::slurp($self->{file}) // '';
}


# until there are N of them

sub wait {
    my ($self, $n, $ceiling) = @_;

    return $self->{test}->waituntil(sub {
        my @acked = $self->acked;
        return @acked >= $n;
    }, $ceiling);
}


sub stop {
    my ($self) = @_;
    $self->{test}->stop_daemon($self->{pid});
    return $self->acked;
}


# of the acknowledged ones, those that a database does not have

sub lost {
    my ($self, $db, @acked) = @_;

    @acked = $self->acked unless @acked;

    my $sql = 'SELECT v FROM t WHERE ' . $self->where . ';';
    my %has = map { $_ => 1 } split /\n/, $db->sql($sql);

    return grep { !$has{"$self->{tag}-$_"} } @acked;
}


1;
