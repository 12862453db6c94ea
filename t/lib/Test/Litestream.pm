package Test::Litestream;

# Runs nginx with the module in a directory of its own.  Methods and
# environment variables are those of nginx-tests where both have them, and
# plan() adds hidden tests, as there: no alert, no sanitizer error, no process
# left over, no descriptor in Litestream that is not its own.
#
#   TEST_NGINX_BINARY        /usr/sbin/nginx
#   TEST_NGINX_MODULE        build/ngx_litestream_module.so; "" or "static":
#                            linked into nginx
#   TEST_LITESTREAM          build/litestream
#   TEST_NGINX_VERBOSE       print requests and responses
#   TEST_NGINX_LEAVE         keep the directory
#   TEST_NGINX_CATLOG        print error.log
#   TEST_NGINX_GLOBALS       more directives, main
#   TEST_NGINX_GLOBALS_HTTP  more directives, http
#   TEST_SLOW                factor for all time limits: valgrind and others
#
# What is missing makes a test fail, it is never skipped.

use warnings;
use strict;

use base qw/ Exporter /;

use Cwd qw/ abs_path /;
use File::Basename qw/ basename dirname /;
use File::Copy qw/ copy /;
use File::Path qw/ remove_tree /;
use File::Temp qw/ tempdir /;
use POSIX qw/ WNOHANG /;
use Test::More qw//;
use Time::HiRes qw//;

use Test::Litestream::Command qw/ become fork_with ids result run_command
    set_env wait_for /;
use Test::Litestream::DB;
use Test::Litestream::HTTP qw/ :DEFAULT connect_to /;
use Test::Litestream::Proc qw/ alive children cmdline config_of descendants
    foreign_fds kill_all slurp using /;

our @EXPORT = @Test::Litestream::HTTP::EXPORT;


my $root = abs_path(__FILE__) =~ s!/t/lib/Test/Litestream\.pm$!!r;
my $module = 'build/ngx_litestream_module.so';
my (@all, $current);


sub new {
    my ($class) = @_;

    my $self = bless {
        owner => $$,
        nginx => _path($ENV{TEST_NGINX_BINARY}, '/usr/sbin/nginx'),
        bin => _path($ENV{TEST_LITESTREAM}, 'build/litestream'),
        module => _path($ENV{TEST_NGINX_MODULE} // $module, ''),
        daemons => [],
        foreign => [],
        left => [],
        api => '/litestream/',
        patience => 15,
    }, $class;

    # short, since the path of a socket has 107 bytes

    $self->{testdir} = tempdir('/tmp/ngls-XXXXXX');
    chmod 0755, $self->{testdir};

    push @all, $self;
    $current = $self;

    $SIG{$_} = sub { exit 1 } for qw/ INT TERM HUP PIPE /;
    $SIG{ALRM} = sub { Test::More::diag('the test takes too long'); exit 1 };
    alarm $self->ceiling(600);

    # only what a test sets itself tells where replicas are

    delete $ENV{$_}
        for grep { /^(AWS|LITESTREAM)_/ && $_ ne 'AWS_CA_BUNDLE' } keys %ENV;

    $self->{version_text} = (run_command($self->{nginx}, '-V'))[2];
    $self->{version_text} =~ m!nginx/([\d.]+)!
        or die "$self->{nginx} cannot be run, see TEST_NGINX_BINARY\n";
    $self->{version} = $1;

    $self->{state_path} = "$self->{testdir}/s";
    $self->{litestream_bin} = $self->litestream;

    return $self;
}


sub _path {
    my ($path, $default) = @_;

    $path = $default if !defined $path || $path eq '';
    return $path =~ m!^/|^(static)?$! ? $path : "$root/$path";
}


sub current { return $current }


# what must be there

sub has {
    my ($self, @names) = @_;

    for (@names) {
        $self->has_module($_) or die "nginx was built without $_\n";
    }

    return $self;
}


sub has_module {
    my ($self, $name) = @_;

    my $text = $self->{version_text};
    my $extra = qr/^(ssl|http_v[23]|dav|realip|auth_request|stub_status|slice
        |addition|sub|gunzip|gzip_static|secure_link|random_index|perl
        |stream|mail|debug|threads)$/x;

    return $text =~ /--with-(http_)?\Q$name\E(_module)?(?![\w-])/ ? 1 : 0
        if $name =~ $extra;

    return $text =~ /--without-(http_)?\Q$name\E(_module)?(?![\w-])/ ? 0 : 1;
}


sub has_version {
    my ($self, $need) = @_;

    my @have = split /\./, $self->{version};

    for (split /\./, $need) {
        my $have = shift(@have) // 0;
        return $have > $_ ? 1 : 0 if $have != $_;
    }

    return 1;
}


sub has_daemon {
    my ($self, @names) = @_;

    for my $name (@names) {
        my @try = $name eq 'litestream' ? $self->{bin}
            : map { "$_/$name" } split(/:/, $ENV{PATH}), '/usr/sbin', '/sbin';

        grep { -f $_ && -x _ } @try or die "$name was not found: @try\n";
    }

    return $self;
}


sub plan {
    my ($self, $n) = @_;

    Test::More::plan(tests => $n + 4);
    $self->{planned} = 1;

    return $self;
}


sub todo_alerts { $_[0]{todo_alerts} = 1; return $_[0] }


# alerts that are what the test is about: any other one still counts

sub expect_alerts {
    my ($self, @re) = @_;
    push @{ $self->{expected_alerts} }, @re;
    return $self;
}


# seconds that processes have to go away in after nginx has ended

sub patience {
    my ($self, $seconds) = @_;
    $self->{patience} = $seconds;
    return $self;
}


# files

sub testdir { return $_[0]{testdir} }

sub _name { return $_[1] =~ m!^/! ? $_[1] : "$_[0]{testdir}/$_[1]" }

sub read_file { return slurp(_name(@_)) }


sub write_file {
    my ($self, $name, $text) = @_;

    my $path = $self->_name($name);

    open my $f, '>', $path or die "open($path) failed: $!\n";
    print $f $text;
    close $f or die "close($path) failed: $!\n";

    return $path;
}


sub write_file_expand {
    my ($self, $name, $text) = @_;

    my ($user, $group) = $self->user;

    $text =~ s/%%TEST_GLOBALS%%/$self->globals/ge;
    $text =~ s/%%TEST_GLOBALS_HTTP%%/$self->globals_http/ge;
    $text =~ s/%%TESTDIR%%/$self->{testdir}/g;
    $text =~ s/%%USER%%/$user/g;
    $text =~ s/%%GROUP%%/$group/g;
    $text =~ s/%%PORT_(\d+)%%/port($1)/ge;
    $text =~ s/127\.0\.0\.1:(8\d\d\d)\b/'127.0.0.1:' . port($1)/ge;

    return $self->write_file($name, $text);
}


sub globals {
    my ($self) = @_;

    my $level = $self->has_module('debug') ? 'debug' : 'info';
    my $text = "pid $self->{testdir}/nginx.pid;\n"
               . "error_log $self->{testdir}/error.log $level;\n";

    # a new binary is given the names that "env" says, and no others

    $text .= join '', map { "env $_;\n" }
        grep { defined $ENV{$_} } qw/ ASAN_OPTIONS UBSAN_OPTIONS /;

    $text .= join(' ', 'user', ($self->worker_user)[0, 1]) . ";\n" if $> == 0;
    $text .= "load_module $self->{module};\n"
        unless $self->{module} =~ /^(static)?$/;

    return $text . ($ENV{TEST_NGINX_GLOBALS} // '');
}


sub globals_http {
    my ($self) = @_;

    my $dir = $self->{testdir};
    my $text = "root $dir;\naccess_log $dir/access.log;\n"
               . "client_body_temp_path $dir/client_body_temp;\n";

    for (qw/ proxy fastcgi uwsgi scgi /) {
        $text .= "${_}_temp_path $dir/${_}_temp;\n" if $self->has_module($_);
    }

    $text .= "litestream_bin $self->{litestream_bin};\n"
        if defined $self->{litestream_bin};
    $text .= "litestream_state_path $self->{state_path};\n"
        if defined $self->{state_path};

    return $text . ($ENV{TEST_NGINX_GLOBALS_HTTP} // '');
}


# what %%TEST_GLOBALS_HTTP%% says; set to undef: nothing

sub litestream_bin {
    my ($self, @path) = @_;
    $self->{litestream_bin} = $path[0] if @path;
    return $self->{litestream_bin};
}


sub state_path {
    my ($self, @path) = @_;
    $self->{state_path} = $path[0] if @path;
    return $self->{state_path};
}


# the number of the first line of nginx.conf that matches

sub line_of {
    my ($self, $re, $name) = @_;

    my $n = 0;

    for (split /\n/, $self->read_file($name // 'nginx.conf')) {
        $n++;
        return $n if /$re/;
    }

    die "no line matches $re\n";
}


# everything below a directory: path => what tells that it was touched

sub tree {
    my ($self, $dir) = @_;

    my @dirs = $dir // $self->{testdir};
    my %tree;

    while (defined(my $d = shift @dirs)) {
        opendir my $h, $d or next;

        for (grep { !/^\.\.?$/ } readdir $h) {
            my @st = Time::HiRes::lstat("$d/$_") or next;

            $tree{"$d/$_"} = sprintf "%o %d:%d %d %.6f", @st[2, 4, 5],
                -d _ ? 0 : $st[7], $st[9];
            push @dirs, "$d/$_" if -d _;
        }
    }

    return \%tree;
}


# users, and what belongs to them: see Test::Litestream::Command

sub user { return Test::Litestream::Command::database_user() }
sub worker_user { return Test::Litestream::Command::worker_user() }


sub db_dir {
    my ($self, $name, %opt) = @_;

    my $dir = "$self->{testdir}/$name";

    mkdir $dir or die "mkdir($dir) failed: $!\n";
    chown ids($opt{user} // ($self->user)[0]), $dir if $> == 0;
    chmod $opt{mode} // 0755, $dir;

    return $dir;
}


# a database in a directory of its own; options of DB->make()

sub db {
    my ($self, $name, %opt) = @_;

    my $dir = $self->db_dir($name, user => $opt{user});
    return Test::Litestream::DB->make("$dir/db.sqlite3", %opt);
}


# programs: (exit code, stdout, stderr)

sub command { my ($self, @cmd) = @_; return run_command(@cmd) }

sub as_user {
    my ($self, $user, @cmd) = @_;
    return run_command({ user => $user }, @cmd);
}


# the real one, in a place where every user can run it

sub litestream {
    my ($self) = @_;

    my $bin = abs_path($self->{bin}) // $self->{bin};

    return $bin if $> != 0 || !-f $bin;

    for (my $d = dirname($bin); $d ne '/'; $d = dirname($d)) {
        next if (stat $d)[2] & 0001;

        my $copy = "$self->{testdir}/" . basename($bin);

        unless (-f $copy) {
            copy($bin, $copy) or die "copy($bin) failed: $!\n";
            chmod 0755, $copy;
        }

        return $copy;
    }

    return $bin;
}


# Litestream 0.3.13 is what is run from here on, by nginx and by the test; 0:
# the other one again

sub old {
    my ($self, $old) = @_;

    $self->{old} = $old // 1;
    $self->{bin} = $self->{old} ? _path(undef, 'build/litestream-0.3.13')
        : _path($ENV{TEST_LITESTREAM}, 'build/litestream');

    -x $self->{bin} or die "$self->{bin} was not found: "
        . "make build/litestream-0.3.13\n";

    $self->{litestream_bin} = $self->litestream;
    return $self;
}


# the stand-in takes its place: the modes are told in t/bin/fake-litestream

sub fake {
    my ($self, @mode) = @_;

    my $dir = "$self->{testdir}/fake";

    unless (-d $dir) {
        mkdir $dir or die "mkdir($dir) failed: $!\n";
        chmod 0755, $dir;

        copy("$root/t/bin/fake-litestream", "$dir/litestream")
            or die "copy(fake-litestream) failed: $!\n";
        chmod 0755, "$dir/litestream";

        $self->write_file('fake/real', $self->litestream);
        chmod 0666, $self->write_file("fake/$_", '') for qw/ calls count /;
    }

    $self->fake_mode(@mode);
    return $self->{litestream_bin} = "$dir/litestream";
}


sub fake_mode {
    my ($self, @mode) = @_;

    # by rename: it may be read at any moment

    my $new = $self->write_file('fake/mode.new', join "\n", @mode, '');
    rename $new, "$self->{testdir}/fake/mode" or die "rename() failed: $!\n";

    $self->write_file('fake/count', '');
}


# [ pid, uid, arguments ] of each call

sub fake_calls {
    my ($self) = @_;
    return map { [ split ' ', $_, 3 ] }
        split /\n/, $self->read_file('fake/calls');
}


# nginx

sub _nginx {
    my ($self, $opt, @args) = @_;

    my $dir = $self->{testdir};

    open my $null, '<', '/dev/null' or die "open(/dev/null) failed: $!\n";
    open my $err, '>>', "$dir/stderr.log" or die "stderr.log: $!\n";

    $self->{stderr_pos} = -s $err;

    my @cmd = (@{ $opt->{wrap} || [] }, $self->{nginx}, '-p', "$dir/", '-c',
        $opt->{conf} // "$dir/nginx.conf", '-e', "$dir/error.log", @args);

    return fork_with([$null, $err, $err], sub {
        set_env($opt->{env});
        chdir $dir;
        exec { $cmd[0] } @cmd;
    });
}


sub _stderr {
    my ($self) = @_;
    return substr $self->read_file('stderr.log'), $self->{stderr_pos};
}


# one that ends by itself: (exit code, output)

sub nginx {
    my ($self, @args) = @_;

    my $opt = ref $args[0] ? shift @args : {};
    my $rc = wait_for($self->_nginx($opt, @args), $opt->{ceiling} // 20);

    return ($rc, $self->_stderr);
}


sub conf_test { my ($self, %opt) = @_; return $self->nginx(\%opt, '-t') }


sub run {
    my ($self, %opt) = @_;

    my ($rc, $err) = $self->try_run(%opt);
    die "nginx did not start ($rc): $err\n" if $rc;

    return $self;
}


# (exit code, what it said); 0: it runs.  env => { }, conf => FILE,
# wrap => [ COMMAND ], ceiling => SECONDS, nowait => 1: see started()

sub try_run {
    my ($self, %opt) = @_;

    $self->{child} = $self->_nginx(\%opt);
    return (0, '') if $opt{nowait};

    my $rc;
    my $done = sub { defined($rc = $self->started) };

    unless ($self->waituntil($done, $opt{ceiling} // 30)) {
        push @{ $self->{left} }, 'nginx did not start in time';
        kill_all($self->{child}, descendants($self->{child}));
        $rc = 124;
    }

    return ($rc, $self->_stderr);
}


# undef: not yet; 0: it runs, with workers; else its exit code

sub started {
    my ($self) = @_;

    if ($self->{child} && waitpid($self->{child}, WNOHANG)) {
        $self->{child} = 0;
        $self->{rc} = result($?);
        return $self->{rc} if $self->{rc};
    }

    my $pid = $self->master_pid or return undef;

    # the file may be an earlier nginx's

    return undef if $self->{child}
        && !grep { $_ == $pid } $self->{child}, descendants($self->{child});

    return scalar(my @workers = $self->worker_pids) ? 0 : undef;
}


# exit code of the nginx that run() started and that has ended

sub exit_code { return $_[0]{rc} }


sub master_pid {
    my ($self, $name) = @_;

    my $text = $self->read_file($name // 'nginx.pid') // '';
    return $text =~ /^(\d+)\n/ && alive($1) ? $1 : 0;
}


# all numbers that kill() takes for more than one process are mistakes

sub signal {
    my ($self, $sig, @pids) = @_;

    @pids = $self->master_pid unless @pids;

    for (@pids) {
        die "signal($sig): no process\n" unless $_ && $_ > 1;
    }

    return kill $sig, @pids;
}


# Under valgrind processes have no titles: then the log tells.

sub _titles {
    my ($self, @pids) = @_;

    my %title = map { $_ => cmdline($_) } @pids;
    my $log;

    for my $pid (grep { $title{$_} !~ /^nginx: / } @pids) {
        $log //= $self->read_log;
        $title{$pid} = "nginx: $1"
            while $log =~ /\[notice\] \d+#\d+: start (.+) $pid$/mg;
        $title{$pid} .= ' is shutting down'
            if $log =~ / \Q$pid\E#\d+: (gracefully shutting down|exiting)/;
    }

    return \%title;
}


# workers that are not leaving; all => 1: those, too

sub worker_pids {
    my ($self, %opt) = @_;

    my @pids = children($opt{master} // $self->master_pid);
    my $title = $self->_titles(@pids);

    return grep {
        $title->{$_} =~ /^nginx: worker process/
            && ($opt{all} || $title->{$_} !~ /shutting down/)
    } @pids;
}


# more than one while one hands over to another; the newest is last

sub supervisor_pids {
    my ($self, %opt) = @_;

    my @pids = children($opt{master} // $self->master_pid);
    my $title = $self->_titles(@pids);

    return grep { $title->{$_} =~ /^nginx: litestream supervisor/ } @pids;
}


sub supervisor_pid {
    my ($self, %opt) = @_;
    return ($self->supervisor_pids(%opt))[-1] // 0;
}


# Litestreams that replicate: children of the supervisors; any => 1: whoever
# started them

sub litestream_pids {
    my ($self, %opt) = @_;

    my @pids = $opt{any} ? using($self->{testdir})
        : map { children($_) } $self->supervisor_pids(%opt);

    return grep { cmdline($_) =~ / replicate .*\Q$self->{testdir}\E/ } @pids;
}


# restores and the like

sub job_pids {
    my ($self, %opt) = @_;

    my %not = map { $_ => 1 } $self->litestream_pids(%opt);
    return grep { !$not{$_} } map { children($_) } $self->supervisor_pids(%opt);
}


# { uid, gid: real, effective, saved, fs; groups, capabilities }

sub uid_of { return Test::Litestream::Proc::uid_of($_[1]) }


# 1: new workers serve, the old ones are leaving; 0: refused

sub reload {
    my ($self, %opt) = @_;

    my $mark = $self->log_mark;
    my %old = map { $_ => 1 } $self->worker_pids(all => 1);

    $self->signal('HUP');

    my $done = sub {
        return -1 if !$self->master_pid
                     || $self->read_log(qr/\[emerg\]/, $mark);
        my @pids = $self->worker_pids;
        return @pids && !grep { $old{$_} } @pids;
    };

    return $self->waituntil($done, $opt{ceiling} // 20) == 1 ? 1 : 0;
}


# USR2: the pid of the new master when it has workers, else 0.  With "daemon
# off" nginx ignores that signal.

sub upgrade {
    my ($self, %opt) = @_;

    my $old = $self->master_pid;

    # the process that became a daemon's parent may not have ended yet

    my $daemon = sub {
        $self->{child} = 0
            if $self->{child} && waitpid($self->{child}, WNOHANG);
        return !$self->{child};
    };

    die "upgrade() needs \"daemon on\"\n" unless $self->waituntil($daemon);

    $self->signal('USR2', $old);

    my $done = sub {
        my $new = $self->master_pid;
        my @workers = $new != $old ? $self->worker_pids(master => $new) : ();
        return @workers ? $new : 0;
    };

    return $self->waituntil($done, $opt{ceiling} // 20);
}


# 1: nginx has gone in time

sub stop { my ($self, %opt) = @_; return $self->_end('TERM', 15, %opt) }
sub quit { my ($self, %opt) = @_; return $self->_end('QUIT', 45, %opt) }


sub _masters {
    my ($self) = @_;

    my %pids = map { $_ => 1 } grep { $_ && alive($_) } $self->master_pid,
        $self->master_pid('nginx.pid.oldbin'), $self->{child};

    return keys %pids;
}


sub _end {
    my ($self, $sig, $ceiling, %opt) = @_;

    my @pids = $self->_masters;

    if (@pids) {
        $self->check_fds($_) for $self->litestream_pids(any => 1);
        kill $sig, @pids;
    }

    my $gone = sub { !grep { alive($_) } @pids };
    my $ok = $self->waituntil($gone, $opt{ceiling} // $ceiling);

    unless ($ok) {
        push @{ $self->{left} }, "nginx (@pids) did not end after $sig";
        kill_all(map { $_, descendants($_) } @pids);
    }

    if ($self->{child}) {
        waitpid $self->{child}, 0;
        $self->{rc} = result($?);
        $self->{child} = 0;
    }

    return $ok;
}


# Descriptors of a Litestream that are not its own, see foreign_fds().  What it
# opens for a moment is left out: it must be there each time.

sub check_fds {
    my ($self, $pid) = @_;

    my @nginx = map { $_, children($_) } $self->_masters;
    my @bad = foreign_fds($pid, @nginx);

    for (1 .. 3) {
        last unless @bad;
        select undef, undef, undef, 0.05;
        my %now = map { $_ => 1 } foreign_fds($pid, @nginx);
        @bad = grep { $now{$_} } @bad;
    }

    push @{ $self->{foreign} }, map { "$pid: $_" } @bad;
    return @bad;
}


# daemons of the test itself: a sub or a command

sub run_daemon {
    my ($self, $what, @args) = @_;

    open my $null, '+<', '/dev/null' or die "open(/dev/null) failed: $!\n";
    open my $err, '>>', "$self->{testdir}/stderr.log" or die "stderr.log: $!\n";

    my $pid = fork_with([$null, $null, $err], sub {
        if (ref $what) {
            $what->(@args);
            POSIX::_exit(0);
        }
        exec { $what } $what, @args;
    });

    push @{ $self->{daemons} }, $pid;
    return $pid;
}


# its exit code

sub stop_daemon {
    my ($self, $pid) = @_;

    $self->{daemons} = [ grep { $_ != $pid } @{ $self->{daemons} } ];

    kill 'TERM', $pid;
    return wait_for($pid, 10);
}


sub stop_daemons {
    my ($self) = @_;
    $self->stop_daemon($_) for @{ $self->{daemons} };
    return $self;
}


# A tmpfs on a directory that belongs to the user of databases, in a mount
# namespace that a process keeps (root only): its pid, and what a command that
# is to see the file system is wrapped in.

sub own_mount {
    my ($self, $path, @options) = @_;

    my $user = ($self->user)[2];
    my $done = "$self->{testdir}/mounted";

    # In a chroot "/" may be no mount point, so that its propagation cannot be
    # told; and a mount namespace is entered at its root, not at the chroot's.

    my $pid = $self->run_daemon(qw/ unshare -m --propagation unchanged sh -c /,
        <<'EOS', 'sh', $path, $user, $done, @options);
mount --make-rprivate / 2>/dev/null
mount -t tmpfs -o "mode=0755,uid=$2${4:+,$4}" tmpfs "$1" && : >"$3" || exit
exec sleep 600
EOS

    $self->waitforfile($done, $pid)
        or die "mount: $path: " . $self->read_file('stderr.log') . "\n";

    unlink $done;

    my ($dev, $own) = map { (stat)[0] } $path, "/proc/$pid/root$path";

    if ($dev == $own) {
        run_command('umount', $path);
        die "mount: $path: is seen outside of the namespace, too\n";
    }

    return ($pid, [ qw/ nsenter -m -r -w -t /, $pid, '--' ]);
}


# waiting, always with a ceiling

sub now { return Test::Litestream::Command::now() }
sub ceiling { return Test::Litestream::Command::ceiling($_[1]) }


sub waituntil {
    my ($self, @args) = @_;
    return Test::Litestream::Command::waituntil(@args);
}


sub waitforfile {
    my ($self, $name, $pid) = @_;

    my $path = $self->_name($name);

    $self->waituntil(sub { -e $path || $pid && !alive($pid) });
    return -e $path ? 1 : 0;
}


# "127.0.0.1:PORT" or the path of a socket

sub waitforsocket {
    my ($self, $peer, $ceiling) = @_;
    return $self->waituntil(sub { connect_to($peer) ? 1 : 0 }, $ceiling);
}


# until the status of a database says so (a regex): the state seen last

sub waitforstate {
    my ($self, $alias, $state, $ceiling) = @_;

    my $seen = '';

    $self->waituntil(sub {
        my $db = $self->database($alias);
        $seen = $db->{state} // '' if $db;
        return $seen =~ /^(?:$state)$/;
    }, $ceiling // 20);

    return $seen;
}


# error.log: all of it, or the lines that match, from a mark on

sub log_mark { return -s "$_[0]{testdir}/error.log" || 0 }


sub read_log {
    my ($self, $re, $mark) = @_;

    my $text = '';

    # from the mark on only: all of it may be a lot

    if (open my $f, '<', "$self->{testdir}/error.log") {
        local $/;
        seek $f, $mark, 0 if $mark && $mark <= -s $f;
        $text = <$f> // '';
    }

    return $text unless defined $re;
    return grep { /$re/ } split /\n/, $text;
}


sub waitforlog {
    my ($self, $re, $ceiling, $mark) = @_;

    return $self->waituntil(sub {
        return scalar(my @lines = $self->read_log($re, $mark));
    }, $ceiling);
}


# the endpoints; undef: no such answer

sub api {
    my ($self, $uri, %opt) = @_;

    my $r = response(http_get("$self->{api}$uri", %opt));
    return eval { json($r->{body}) };
}


sub status {
    my ($self, $alias, %opt) = @_;
    return $self->api('status' . (defined $alias ? "/$alias" : ''), %opt);
}


# one of the status' databases

sub database {
    my ($self, $alias, %opt) = @_;

    my $st = $self->status(undef, %opt) || {};
    return (grep { $_->{alias} eq $alias } @{ $st->{databases} || [] })[0];
}


# the control socket of a Litestream

sub control {
    my ($self, $uri, %opt) = @_;

    my $pid = $opt{pid} // ($self->litestream_pids)[0] // return undef;
    my $r = response(http_unix(config_of($pid)->{socket} // '/', $uri, %opt));

    return eval { json($r->{body}) };
}


# the end: what plan() has added

sub _finish {
    my ($self) = @_;

    alarm 0;
    $SIG{PIPE} = 'IGNORE';

    $self->_end('TERM', 15);
    $self->stop_daemons;

    my @left;
    $self->waituntil(sub { !(@left = using($self->{testdir})) },
        $self->{patience});

    push @{ $self->{left} }, map { "$_ is left over: " . cmdline($_) } @left;
    kill_all(@left);

    my @log = $self->read_log(qr/./);
    my @alerts = grep { /\[alert\]/ } @log;

    for my $re (@{ $self->{expected_alerts} || [] }) {
        @alerts = grep { $_ !~ $re } @alerts;
    }

    my @err = split /\n/, $self->read_file('stderr.log') // '';

    my @end = (
        [ 'no alerts', @alerts ],
        [ 'no sanitizer errors',
          grep { /Sanitizer|runtime error:/ } @log, @err ],
        [ 'no process left over', @{ $self->{left} } ],
        [ 'no foreign descriptor in Litestream', @{ $self->{foreign} } ],
    );

    my $tb = Test::More->builder;

    for (@end) {
        my ($name, @bad) = @$_;
        my $todo = $name eq 'no alerts' && $self->{todo_alerts};

        next unless $self->{planned} || @bad;

        $tb->todo_start('alerts are known') if $todo;
        $tb->is_eq(join("\n", @bad), '', $name);
        $tb->todo_end if $todo;
    }

    if ($ENV{TEST_NGINX_CATLOG}) {
        $tb->note(join "\n", @log);

    } elsif (!$tb->is_passing) {
        my @last = grep { !/\[debug\]/ } @log;
        splice @last, 0, -20 if @last > 20;
        $tb->diag(join "\n", 'the end of error.log:', @last);
    }

    if ($ENV{TEST_NGINX_LEAVE}) {
        $tb->diag("kept: $self->{testdir}");
        return;
    }

    remove_tree($self->{testdir});
}


# comes before Test::More's own, which is older

END {
    my $status = $?;

    for (grep { $_->{owner} == $$ } @all) {
        next if eval { $_->_finish; 1 };
        Test::More::diag($@);
        $status ||= 1;
    }

    $? = $status;
}


1;
