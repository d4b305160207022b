from __future__ import annotations

import asyncio
import io
import os
import sys
from contextlib import closing

import pytest

from lab.waiting import eventually, patience
from trade_canvas.up import child as module
from trade_canvas.up.child import Child, ChildFailed
from trade_canvas.up.output import Output
from trade_canvas.up.plan import Program


@pytest.fixture
def shown():
    return io.StringIO()


@pytest.fixture
def make(tmp_path, shown):
    with closing(Output(tmp_path, shown)) as output:

        def make_child(code):
            program = Program("web", (sys.executable, "-c", code))
            return Child(program, os.environ, output=output)

        yield make_child


async def test_child_prints_lines_behind_its_name_and_logs_them(make, shown, tmp_path):
    assert (
        await make("import sys; print('to out'); print('to err', file=sys.stderr)").run_once() == 0
    )
    assert "[web]      to out" in shown.getvalue()
    assert "[web]      to err" in shown.getvalue()
    assert "to out" in (tmp_path / "web.log").read_text()


async def test_child_continues_after_a_line_longer_than_the_limit(make, shown, monkeypatch):
    monkeypatch.setattr(module, "LINE_BYTES", 1000)
    assert await make("print('x' * 100_000); print('after')").run_once() == 0
    assert "after" in shown.getvalue()


async def test_child_that_ends_is_restarted_a_limited_number_of_times(make, shown, monkeypatch):
    monkeypatch.setattr(module, "BACKOFF_MAX_S", 0.01)
    monkeypatch.setattr(module, "FAILURES_MAX", 2)
    with pytest.raises(ChildFailed, match="web ended 3 times"):
        await make("raise SystemExit(3)").run()
    assert shown.getvalue().count("ended (status 3); starts again") == 2


async def test_child_stops_on_request(make, shown):
    child = make("import time; print('began', flush=True); time.sleep(600)")
    running = asyncio.create_task(child.run())
    await eventually(lambda: "began" in shown.getvalue())
    async with asyncio.timeout(patience(5)):
        await child.stop()
        await running
    assert "starts again" not in shown.getvalue()


async def test_child_that_ignores_sigterm_is_killed_with_what_it_started(make, shown, monkeypatch):
    monkeypatch.setattr(module, "STOP_TIMEOUT_S", 0.2)
    child = make(
        "import signal, subprocess, sys, time;"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "started = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        "print('started', started.pid, flush=True); time.sleep(600)"
    )
    running = asyncio.create_task(child.run())
    await eventually(lambda: "started" in shown.getvalue())
    grandchild = int(shown.getvalue().split("started")[1].split()[0])
    await child.stop()
    await running
    await eventually(lambda: is_gone(grandchild))


def is_gone(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True
