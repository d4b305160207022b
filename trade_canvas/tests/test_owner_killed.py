"""Nothing that a process started outlives it, at whatever moment it is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from lab.waiting import patience, wait_until
from trade_canvas.embedded.server import GUARD

ROOT = Path(__file__).parents[2]
# As asyncio does in `up`, and the guard: a handler that only wakes what waits.
WITH_HANDLER = """
import os, signal, subprocess, sys, time
from trade_canvas.embedded.guard import die_with_parent

signal.signal(signal.SIGTERM, lambda *_: None)
bind = die_with_parent(signal.SIGTERM)
parent = os.getpid()

def kill_parent():
    os.kill(parent, signal.SIGKILL)
    while os.getppid() == parent:
        time.sleep(0.01)
"""
MOMENTS = {
    "before it is bound": "kill_parent(); bind()",
    "before its program begins": "bind(); kill_parent()",
}
# Prints its process id, and heeds no request to end.
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), flush=True)
time.sleep(600)
"""


def run_until_all_end(code, *arguments):
    """Run code that kills itself; return what it printed, once no process has its output."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    pipe = {"stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True, **pipe) as session:
        try:
            # The pipe ends with the last process that has it.
            return session.communicate(timeout=patience(10))[0]
        except subprocess.TimeoutExpired:
            os.killpg(session.pid, signal.SIGKILL)
            raise


@pytest.mark.parametrize("moment", MOMENTS)
def test_child_ends_with_a_parent_killed(moment):
    code = f"""{WITH_HANDLER}
def meanwhile():
    {MOMENTS[moment]}

subprocess.Popen(["sleep", "600"], preexec_fn=meanwhile)
"""
    assert run_until_all_end(code) == ""


def test_part_of_up_that_does_not_heed_sigterm_ends_with_it(tmp_path):
    code = """
import asyncio, os, signal, sys
from pathlib import Path
from trade_canvas.up.child import Child
from trade_canvas.up.output import Output
from trade_canvas.up.plan import Program

class Killed(Output):
    def line(self, name, text):
        print(text, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

program = Program("web", (sys.executable, "-c", sys.argv[2]))
asyncio.run(Child(program, os.environ, output=Killed(Path(sys.argv[1]))).run())
"""
    wait_until_gone(int(run_until_all_end(code, tmp_path, STUBBORN)))


def test_set_up_of_postgres_ends_with_its_owner(tmp_path):
    code = """
import os, signal, sys, threading, time
from pathlib import Path
from trade_canvas.embedded.account import Account
from trade_canvas.embedded.postgres import run_program
from trade_canvas.embedded.server import Place

place = Place(Account(None, None), Path(sys.argv[1]))
command = ["sh", "-c", "echo $$ > started; exec sleep 600"]
threading.Thread(target=run_program, args=(place, command)).start()
while not (place.home / "started").is_file() or not (place.home / "started").read_text():
    time.sleep(0.01)
os.kill(os.getpid(), signal.SIGKILL)
"""
    run_until_all_end(code, tmp_path)
    wait_until_gone(int((tmp_path / "started").read_text()))


def test_guard_stops_its_server_when_the_owner_is_killed_before_it_knows_of_it(tmp_path):
    order = {
        "command": [sys.executable, "-c", STUBBORN],
        "user": None,
        "group": None,
        "directory": str(tmp_path),
        "log": str(tmp_path / "log"),
        "stop_signal": int(signal.SIGTERM),
        "stop_timeout_s": 0.2,
    }
    log = tmp_path / "log"
    log.touch()
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-I", str(GUARD), json.dumps(order)]
    pipes = {"stdin": subprocess.PIPE, "stdout": writing, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **pipes):
        server = int(wait_until(log.read_text, what="the server"))
    os.close(writing)
    wait_until_gone(server)


def wait_until_gone(process):
    try:
        wait_until(lambda: is_gone(process), what="the process to end")
    finally:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def is_gone(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
