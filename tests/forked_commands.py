"""Runs management commands in forks of one process that has loaded Django already.

`python -m tests.forked_commands manage.py` reads a list of command lines (JSON) from standard input
and prints a list of [status, output] in that order. Each command has a process of its own, with the
settings of this one's environment; only the time to load them is saved.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback

import django
from django.core.management import get_commands, load_command_class

from trade_canvas import failures


def _run(arguments, output):
    """Run one command in this process, which is a fork, as `manage.py` does, and end."""
    for stream in (1, 2):
        os.dup2(output, stream)
    status = 1
    try:
        failures.main(["manage.py", *arguments])
        status = 0
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main():
    """Run all commands at once."""
    commands = json.load(sys.stdin)
    os.environ["DJANGO_SETTINGS_MODULE"] = "trade_canvas.settings"
    django.setup()
    for name, *_ in commands:
        # Imported once, not in every fork.
        load_command_class(get_commands()[name], name)
    started = []
    for each in commands:
        output = tempfile.TemporaryFile()  # noqa: SIM115  Read below, when the command has ended.
        child = os.fork()
        if not child:
            _run(each, output.fileno())
        started.append((child, output))
    ended = []
    for child, output in started:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        output.seek(0)
        ended.append((status, output.read().decode()))
    print(json.dumps(ended))


if __name__ == "__main__":
    main()
