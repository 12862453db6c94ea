#!/usr/bin/perl

# Moving from a container with an entrypoint script and Caddy, and back, with
# the scripts and the configuration of docs/migration.md as they stand there:
# what was committed behind Caddy is served by nginx, on a machine that has
# nothing, and the other way round.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Test::Litestream;
use Test::Litestream::CLI qw/ cli cli_path /;
use Test::Litestream::Command qw/ become set_env /;
use Test::Litestream::HTTP qw/ port /;
use Test::Litestream::Proc qw/ alive children cmdline slurp /;
use Test::Litestream::S3;
use Test::Litestream::Server;

my $t = Test::Litestream->new()->has(qw/http proxy/)
    ->has_daemon(qw/litestream sqlite3 python3/)->plan(28);

my $dir = $t->testdir;
my ($user, undef, $uid, $gid) = $t->user;
my $caddy = Test::Litestream::Server->program('caddy', 'TEST_CADDY');
my $s3 = Test::Litestream::S3->new($t);
my $db = Test::Litestream::DB->new($t->db_dir('data') . '/db.sqlite3');

$s3->start();

my ($before, $after, $conf) = examples();

# what the scripts run: the image's programs.  The application does as those of
# containers do, it is not root.

mkdir "$dir/bin" or die;

program('python', <<'EOF');
#!/bin/sh
[ "$*" = 'manage.py migrate' ] || exit 2
exec /usr/bin/python3 - <<'EOP'
import os, sqlite3
if os.getuid() == 0:
    os.setgid(int(os.environ['TEST_GID'])); os.setuid(int(os.environ['TEST_UID']))
db = sqlite3.connect(os.environ['TEST_DB'])
db.execute('PRAGMA journal_mode = WAL')
db.execute('CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, v TEXT)')
EOP
EOF

program('gunicorn', <<'EOF');
#!/usr/bin/python3
import http.server, os, sqlite3, sys
assert sys.argv[1:] == ['app.wsgi']
if os.getuid() == 0:
    os.setgid(int(os.environ['TEST_GID'])); os.setuid(int(os.environ['TEST_UID']))
class Shop(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        db = sqlite3.connect(os.environ['TEST_DB'], timeout=10)
        db.execute('INSERT INTO t (v) VALUES (?)',
            (self.rfile.read(int(self.headers['Content-Length'])).decode(),))
        db.commit()
        db.close()
        self.answer(201, '')
    def do_GET(self):
        db = sqlite3.connect(os.environ['TEST_DB'], timeout=10)
        rows = [r[0] for r in db.execute('SELECT v FROM t ORDER BY id')]
        db.close()
        self.answer(200, ' '.join(rows))
    def answer(self, status, text):
        self.send_response(status)
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
    def log_message(self, *a):
        pass
http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['TEST_APP'])),
    Shop).serve_forever()
EOF

program('caddy', "#!/bin/sh\nexec $caddy \"\$@\"\n");
program('litestream', "#!/bin/sh\nexec ${\ $t->litestream } \"\$@\"\n");
program('nginx-litestream', "#!/bin/sh\nexec ${\ cli_path($t) } \"\$@\"\n");

$t->write_file('Caddyfile', <<"EOF");
{
    admin off
    auto_https off
}
:${\ port(8081) } {
    bind 127.0.0.1
    reverse_proxy 127.0.0.1:${\ port(8000) }
}
EOF
chmod 0644, "$dir/Caddyfile";

my %env = (
    PATH => "$dir/bin:$ENV{PATH}",
    HOME => "$dir/data",
    TEST_DB => $db->path,
    TEST_APP => port(8000),
    TEST_UID => $uid,
    TEST_GID => $gid,
    LITESTREAM_STATE_PATH => $t->state_path,
    LITESTREAM_ACCESS_KEY_ID => $s3->key,
    LITESTREAM_SECRET_ACCESS_KEY => $s3->secret,
    map { $_ => undef } grep { /^(AWS|XDG)_/ } keys %ENV,
);

# as it was

my $old = container();

is(posts(8081, qw/ one two three /), 'one two three', 'behind Caddy');
ok(replicated(3), 'replicated');
end($old);

# here, on a machine that has nothing

$db->remove();

my @app = nginx();

is($t->waitforstate('default', 'replicating'), 'replicating', 'replicating');
is(get(8080), 'one two three', 'behind nginx, after a restore');
is(posts(8080, qw/ four five /), 'one two three four five', 'commits');

my ($rc, $out, $err) = cli($t, 'verify', 'default');

is($rc, 0, 'verified') or diag("$out$err");
ok($t->quit(), 'quit');
ok(ended(@app), 'the application ends');

# back again

$db->remove();
$old = container();

is(get(8081), 'one two three four five', 'the old image finds it');
is(posts(8081, 'six'), 'one two three four five six', 'and goes on');
ok(replicated(6), 'replicated');
end($old);

# and here once more, with the database in place

@app = nginx();

is($t->waitforstate('default', 'replicating'), 'replicating', 'continued');
is(get(8080), 'one two three four five six', 'nothing is lost');

# the example of what the script does: a restore fails, nobody notices

ok($t->quit(), 'quit');
ok(ended(@app), 'the application ends');

$db->remove();
$env{LITESTREAM_SECRET_ACCESS_KEY} = 'a-wrong-one';

($rc, $err) = run_nginx();

isnt($rc, 0, 'denied: nginx does not start');
like($err, qr/\[emerg\].*SignatureDoesNotMatch/, 'and says why');
ok(!-e $db->path, 'nothing takes its place');
is(scalar(my @served = grep { cmdline($_) =~ m!/bin/gunicorn! } apps()), 0,
    'the application does not come up');
ok(ended(apps()), 'it waits');


# the blocks of the section, in their order

sub examples {
    my $text = slurp('../docs/migration.md') // die "no docs/migration.md\n";

    my ($section) = $text
        =~ /^## From an entrypoint script with Caddy\n(.*?)^## /ms
        or die "docs/migration.md: no such section\n";

    my $endpoint = $s3->endpoint;
    my $front = port(8080);
    my @blocks;

    while ($section =~ /^( *)```(?:sh|nginx)\n(.*?)^\1```$/msg) {
        my ($indent, $block) = ($1, $2);

        $block =~ s/^$indent//mg;
        $block =~ s!/data/db\.sqlite3!$dir/data/db.sqlite3!g;
        $block =~ s!(s3://backups/db)!'$1?endpoint=$endpoint'!g;
        $block =~ s!\blisten 80;!listen 127.0.0.1:$front;!;
        $block =~ s!127\.0\.0\.1:8000!'127.0.0.1:' . port(8000)!e;

        push @blocks, $block;
    }

    my ($sh, $nginx, $new) = @blocks;

    is(scalar @blocks, 3, 'docs/migration.md: two scripts, a configuration');
    like($new, qr/^exec nginx$/m, 'its script');

    # where the test's nginx is, and what the test asks

    $nginx =~ s/^load_module.*\n//m;
    $nginx =~ s/'s3:/s3:/;
    $nginx =~ s/'(?=;)//;
    $nginx =~ s/^daemon.*\n/$&\n%%TEST_GLOBALS%%\n\nevents {\n}\n/m;
    $nginx =~ s/^http \{\n/$&    %%TEST_GLOBALS_HTTP%%\n\n/m;
    $nginx =~ s!^    server \{\n!$&        location /litestream/ {
            litestream_api;
        }\n!m;

    return ($sh, $new, $nginx);
}


sub program {
    my ($name, $text) = @_;

    $t->write_file("bin/$name", $text);
    chmod 0755, "$dir/bin/$name";
}


# the old image: its first process becomes Caddy

sub container {
    my $pid = $t->run_daemon(sub {
        become($user);
        set_env(\%env);
        chdir $dir or die;
        exec 'sh', '-e', '-c', $before;
    });

    ok($t->waituntil(sub { defined get(8081) }, 30),
        'the old image serves');

    return $pid;
}


# its processes end, Litestream first, so that it can sync

sub end {
    my ($pid) = @_;

    my @pids = children($pid);

    kill 'TERM', @pids;
    ok(ended(@pids), 'the old Litestream ends');
    $t->stop_daemon($pid);
}


# its script, whose last line is this nginx

sub run_nginx {
    my $script = $after =~ s/^exec nginx$/exec "\$\@"/mr;

    $t->write_file_expand('nginx.conf', $conf);

    return $t->try_run(env => \%env, wrap => [ 'sh', '-e', '-c', $script,
        'sh' ], ceiling => 90);
}


sub nginx {
    my ($rc, $err) = run_nginx();

    is($rc, 0, 'nginx starts') or diag($err);
    $t->waituntil(sub { defined get(8080) }, 30);

    return apps();
}


# the application, or what waits for its database

sub apps {
    return grep { (cmdline($_) // '') =~ m!\Q$dir\E/bin/gunicorn
            |\Q$dir\E/nginx-litestream|^sh.*gunicorn\ app.wsgi.*\Q$dir\E!xs }
        map { m!(\d+)$! } glob '/proc/[0-9]*';
}


# the end of a container is that of all of its processes

sub ended {
    my @pids = @_;

    kill 'TERM', @pids if @pids;
    return $t->waituntil(sub { !grep { alive($_) } @pids }, 10);
}


sub get {
    my ($port) = @_;
    my $r = response(http_get('/', peer => '127.0.0.1:' . port($port)));
    return ($r->{status} // 0) == 200 ? $r->{body} : undef;
}


sub posts {
    my ($port, @rows) = @_;
    http_post('/', $_, peer => '127.0.0.1:' . port($port)) for @rows;
    return get($port);
}


sub replicated {
    my ($n) = @_;
    my $url = 's3://backups/db?endpoint=' . $s3->endpoint;

    return $t->waituntil(sub {
        return $db->restore_count($url, env => \%env) == $n;
    }, 30);
}
