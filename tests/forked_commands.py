"""Runs management commands in forks of one process that has loaded Django already.

`python -m tests.forked_commands manage.py` reads a list of command lines (JSON) from standard input
and prints a list of [status, output] in that order. Each command has a process of its own, with the
settings of this one's environment; only the time to load them is saved. What does not end within
`patience(WITHIN_S)` is killed.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import tempfile
import time
import traceback

import django
from django.core.management import get_commands, load_command_class

from lab.waiting import patience
from trade_canvas import failures

# The time in which each command ends, whatever is away.
WITHIN_S = 10.0


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


def _status_of(child, until):
    """Wait for the end of a command, and kill it when its time is up: its status is then -9."""
    ended = os.pidfd_open(child)
    try:
        if not select.select([ended], [], [], max(0.0, until - time.monotonic()))[0]:
            os.kill(child, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        os.close(ended)


def main():
    """Run all commands at once."""
    commands = json.load(sys.stdin)
    os.environ["DJANGO_SETTINGS_MODULE"] = "trade_canvas.settings"
    django.setup()
    for name, *_ in commands:
        # Imported once, not in every fork.
        load_command_class(get_commands()[name], name)
    until = time.monotonic() + patience(WITHIN_S)
    started = []
    for each in commands:
        output = tempfile.TemporaryFile()  # noqa: SIM115  Read below, when the command has ended.
        child = os.fork()
        if not child:
            _run(each, output.fileno())
        started.append((child, output))
    ended = []
    for child, output in started:
        status = _status_of(child, until)
        output.seek(0)
        ended.append((status, output.read().decode()))
    print(json.dumps(ended))


if __name__ == "__main__":
    main()
