"""`up` as a process: everything starts, candles flow, and no process is left afterwards."""

from __future__ import annotations

import gzip
import re
import signal
import socket
import urllib.request
from contextlib import contextmanager, suppress

import psutil
import pytest

from lab.http import get
from lab.program import Program, inherited, manage
from lab.waiting import patience, wait_until
from tests.clients import head_of
from trade_canvas.embedded.server import free_port

SERIES = "sim:futures:BTC/USDT:1s"


@contextmanager
def up(folder, **variables):
    """Run `up` on a folder as data directory, and end it in any case."""
    environment = {"DATA_DIR": str(folder), "PORT": str(free_port()), **variables}
    process = Program(
        "up",
        manage("up"),
        {**inherited(), **environment},
        log=folder / f"up-{environment['PORT']}.log",
        url=f"http://127.0.0.1:{environment['PORT']}",
    ).start()
    try:
        yield process
    except BaseException:
        print(process.output())
        with suppress(psutil.NoSuchProcess):
            print("there are:", *(each.cmdline() for each in family(folder)), sep="\n")
        raise
    finally:
        if process.is_running:
            process.terminate(20)


def family(folder):
    """Every process of the installation on `folder`, found by environment or command line."""
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.environ().get("DATA_DIR") == str(folder)
            ours = ours or str(folder) in " ".join(process.cmdline())
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def stop(process, folder):
    assert process.terminate(15) == 0
    assert family(folder) == []


def show_series(folder):
    """Run `manage.py series` on a folder as data directory; return what it prints."""
    variables = {**inherited(), "DATA_DIR": str(folder)}
    process = Program("series", manage("series"), variables, log=folder / "series.log").start()
    assert process.wait(60) == 0, process.output()
    return process.output()


def check_page(url):
    """Assert that the page is served, and its assets compressed and cached for good."""
    status, headers, body = fetch(url)
    assert status == 200, "the page is not built: make frontend"
    assert "no-cache" in headers["Cache-Control"]
    assert headers["Content-Encoding"] == "gzip"
    assets = re.findall(r'"(/static/assets/[^"]+)"', gzip.decompress(body).decode())
    assert assets
    for asset in assets:
        status, headers, _ = fetch(url + asset)
        assert (status, headers["Content-Encoding"]) == (200, "gzip")
        assert "immutable" in headers["Cache-Control"]


def fetch(url):
    request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request, timeout=patience(10)) as response:
        return response.status, response.headers, response.read()


def test_up_reaches_a_moving_chart_and_leaves_nothing(open_folder):
    with up(open_folder) as first:
        first.wait_for_line("Stop ", patience(60))
        assert re.search(r"admin account made: user admin, password \S{12,}", first.output())
        assert get(f"{first.url}/readyz")[0] == 200
        check_page(first.url)
        before = wait_until(lambda: head_of(first, SERIES), 20, "a candle")
        wait_until(lambda: head_of(first, SERIES) > before, 20, "the next candle")
        kept = head_of(first, SERIES)
        running = {name for each in family(open_folder) for name in [" ".join(each.cmdline())]}
        for part in ("manage.py web", "celery", "local_exchange", "valkey", "postgres"):
            assert any(part in line for line in running), f"{part} is not running"
        assert SERIES in show_series(open_folder)
        stop(first, open_folder)

    # Without `up` a command starts the servers for itself.
    assert SERIES in show_series(open_folder)
    assert family(open_folder) == []

    with up(open_folder) as second:
        second.wait_for_line("Stop ", patience(60))
        assert "admin account made" not in second.output()
        assert head_of(second, SERIES) >= kept
        # As when the machine's memory runs out: no process is left to stop the others.
        second.kill()
        wait_until(lambda: family(open_folder) == [], 15, "everything to end with it")


@pytest.mark.prove
def test_up_without_store_and_bus_is_one_process_and_the_exchange(open_folder):
    off = {"TRADE_CANVAS_ENABLE_PG_STORE": "0", "TRADE_CANVAS_ENABLE_WS_PUBSUB": "0"}
    with up(open_folder, **off) as first:
        first.wait_for_line("Stop ", patience(60))
        wait_until(lambda: head_of(first, SERIES), 20, "candles")
        commands = [" ".join(each.cmdline()) for each in family(open_folder)]
        assert len(commands) == 3, commands

        with up(open_folder, **off) as second:
            assert second.wait(30) == 1
        assert f"already running on {open_folder} (process {first.pid})" in second.output()

        (web,) = [each for each in family(open_folder) if "web" in each.cmdline()]
        web.send_signal(signal.SIGKILL)
        first.wait_for_line("web ended (signal 9); starts again in 1 s")
        wait_until(lambda: get(f"{first.url}/readyz")[0] == 200, 30, "web to be back")
        stop(first, open_folder)


def test_up_on_a_taken_port_fails_and_starts_nothing(open_folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with up(open_folder, PORT=port) as process:
            assert process.wait(30) == 1
    assert f"port {port} is in use" in process.output()
    assert not (open_folder / "postgres").exists()


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({"PORT": "http"}, "PORT must be a number"),
        # What it needs is on by default here, so it is no reason to fail.
        ({"TRADE_CANVAS_ENABLE_PG_ONLY": "1", "PORT": "http"}, "PORT must be a number"),
        (
            {"TRADE_CANVAS_ENABLE_PG_ONLY": "1", "TRADE_CANVAS_ENABLE_PG_STORE": "0"},
            "pg_store_required_when_pg_only_enabled",
        ),
    ],
)
def test_up_with_bad_variables_fails_with_a_message(open_folder, variables, complaint):
    with up(open_folder, **variables) as process:
        assert process.wait(30) == 1
    assert complaint in process.output()
