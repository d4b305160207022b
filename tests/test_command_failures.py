"""Every command against servers that are away, an empty database and a series that nobody stored.

Each ends with one line and a stated status, never with a traceback.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, closing, contextmanager

import pytest
from django.core.management import get_commands

from lab.database import create_database, drop_database
from lab.program import inherited, manage
from lab.waiting import patience
from market.local_exchange.generated import GeneratedCandles
from market.local_exchange.server import running_exchange
from tests.conftest import SWITCHES
from trade_canvas import environment, failures
from trade_canvas.embedded.server import free_port
from trade_canvas.up.plan import plan

OURS = ("market", "factors", "overlays", "trade_canvas", "lab")
SERIES = "sim:spot:NOBODY/STORED:1m"
# One command line for each command. A new command fails the first test until it has one here.
COMMANDS = {
    "audit": (SERIES,),
    "backfill": (SERIES, "--from", "2024-01-01"),
    "capacity": ("--help",),
    "containers": ("--help",),
    "dense_ledger": ("--undo", "--dry-run"),
    "drill": ("--list",),
    "explain": (SERIES, "--at", "2024-01-01"),
    "export_candles": (SERIES,),
    "export_events": (SERIES,),
    "export_features": (SERIES,),
    "gaps": (SERIES,),
    "import_candles": ("{candles}", SERIES),
    "installation": (),
    "local_exchange": ("--replay", "/nowhere/candles.csv"),
    "derived": (),
    "new_generation": (),
    "prepare": ("--without-static",),
    "prune_series": (),
    "rebuild": (SERIES,),
    "retention": (),
    "series": (),
    "startfactor": ("pivot",),
    "timescale": ("status",),
    "up": (),
    "verify": (SERIES,),
    "web": ("--port", "{port}"),
}
WITHOUT_SERVERS = environment.OWN_INSTALLATION - {"up"}
WITHOUT_SERVERS |= {"containers", "local_exchange", "startfactor"}
NEEDS_BUS = {"installation", "up", "web"}
NAMES_SERIES = {"audit", "explain", "gaps", "rebuild", "verify"}
NAMES_SERIES |= {"export_candles", "export_events", "export_features"}
# These serve, or make the tables: an empty database is where they begin.
BEGINS_EMPTY = {"prepare", "timescale", "up", "web"}
# In `make test` one command of each kind meets a server that does not answer.
SILENT = ("prepare", "series", "up", "verify")
# A connection on one machine is made in far less.
MUTE_AFTER_S = 0.5


def ours():
    return {name for name, app in get_commands().items() if app in OURS}


def test_every_command_has_a_command_line_here():
    assert ours() == set(COMMANDS)


@contextmanager
def silent_port():
    """A port that accepts connections and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


@contextmanager
def mute_port():
    """A port that drops what a client begins with, as an address behind a firewall does."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as server, ExitStack() as full:
        # The system answers as many as fit into the queue of those that are not accepted.
        is_answered = True
        while is_answered:
            client = full.enter_context(closing(socket.socket()))
            client.setblocking(False)
            client.connect_ex(server.getsockname())
            _, answered, _ = select.select([], [client], [], MUTE_AFTER_S)
            is_answered = bool(answered)
        yield server.getsockname()[1]


@contextmanager
def closed_port():
    """A port that nothing listens on, and that nothing can take meanwhile."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def variables(folder, **given):
    return {**inherited(), **SWITCHES, "DATA_DIR": str(folder), **given}


@pytest.fixture
def run(tmp_path):
    """Run several commands at once; returns status and output of each by its name."""
    candles = tmp_path / "candles.csv"
    candles.write_text("candle_time,open,high,low,close,volume\n0,1,1,1,1,1\n")

    def run(names, **addresses):
        places = {"candles": candles, "port": free_port()}
        lines = [[name, *(each.format(**places) for each in COMMANDS[name])] for name in names]
        done = subprocess.run(
            [sys.executable, "-m", "tests.forked_commands", "manage.py"],
            cwd=environment.BASE_DIR,
            env=variables(tmp_path / "data", **addresses, PORT=str(places["port"])),
            input=json.dumps(lines),
            stdout=subprocess.PIPE,
            text=True,
            timeout=patience(30),
        )
        return dict(zip(names, map(tuple, json.loads(done.stdout)), strict=True))

    return run


def assert_one_line(name, status, output, *, expected, text):
    assert "Traceback" not in output, f"{name}\n{output}"
    assert status == expected, f"{name}: {status}\n{output}"
    told = [line for line in output.splitlines() if text in line]
    assert len(told) == 1, f"{name}\n{output}"


@pytest.mark.parametrize(
    ("away", "names"),
    [
        (closed_port, sorted(COMMANDS)),
        (silent_port, SILENT),
        (mute_port, SILENT),
        pytest.param(silent_port, sorted(COMMANDS), marks=pytest.mark.prove),
        pytest.param(mute_port, sorted(COMMANDS), marks=pytest.mark.prove),
    ],
)
def test_database_that_is_away_is_one_line(run, away, names):
    with away() as port:
        address = f"postgres://somebody:hunter2@127.0.0.1:{port}/candles"
        ended = run(names, DATABASE_URL=address, REDIS_URL=os.environ["REDIS_URL"])
    for name, (status, output) in ended.items():
        if name in WITHOUT_SERVERS:
            assert "Traceback" not in output and status in (0, failures.REFUSED)
            continue
        text = "the database (DATABASE_URL) can't be reached"
        assert_one_line(name, status, output, expected=failures.UNREACHABLE, text=text)
        assert "hunter2" not in output


@pytest.mark.parametrize(
    ("away", "names"),
    [
        (closed_port, ("series", "up", "web")),
        (mute_port, ("up", "web")),
        pytest.param(closed_port, sorted(COMMANDS), marks=pytest.mark.prove),
        pytest.param(silent_port, sorted(COMMANDS), marks=pytest.mark.prove),
        pytest.param(mute_port, sorted(COMMANDS), marks=pytest.mark.prove),
    ],
)
def test_bus_that_is_away_is_one_line(run, migrated_copy, exchange_url, away, names):
    with away() as port:
        addresses = {
            "DATABASE_URL": migrated_copy,
            "REDIS_URL": f"redis://:hunter2@127.0.0.1:{port}/0",
            # A backfill tries again for minutes while its exchange is away.
            "TRADE_CANVAS_SIM_URL": exchange_url,
        }
        ended = run(names, **addresses)
    for name, (status, output) in ended.items():
        assert "Traceback" not in output, f"{name}\n{output}"
        if name in NEEDS_BUS:
            text = "the bus (REDIS_URL) can't be reached"
            assert_one_line(name, status, output, expected=failures.UNREACHABLE, text=text)
        else:
            assert status in (0, failures.REFUSED), f"{name}: {status}\n{output}"
        assert "hunter2" not in output


@pytest.fixture(scope="module")
def exchange_url():
    with running_exchange(GeneratedCandles(7)) as exchange:
        yield exchange.url


@pytest.fixture
def migrated_copy(migrated_template):
    url = create_database(migrated_template, prefix="commands", template=migrated_template)
    yield url
    drop_database(url)


@pytest.fixture
def empty_database():
    url = create_database(os.environ["DATABASE_URL"], prefix="empty")
    yield url
    drop_database(url)


def test_empty_database_is_one_line(run, empty_database):
    names = sorted(set(COMMANDS) - BEGINS_EMPTY - WITHOUT_SERVERS)
    ended = run(names, DATABASE_URL=empty_database, REDIS_URL=os.environ["REDIS_URL"])
    for name, (status, output) in ended.items():
        text = "run manage.py migrate"
        assert_one_line(name, status, output, expected=failures.REFUSED, text=text)


def test_series_without_candles_is_named(run, migrated_copy):
    names = sorted(NAMES_SERIES)
    ended = run(names, DATABASE_URL=migrated_copy, REDIS_URL=os.environ["REDIS_URL"])
    for name, (status, output) in ended.items():
        assert_one_line(name, status, output, expected=failures.REFUSED, text=SERIES)


def command_of(name):
    return next(each.command for each in plan({}, exchange_port=0).programs if each.name == name)


@pytest.mark.parametrize(
    ("command", "away", "text"),
    [
        ("worker", "DATABASE_URL", "the database (DATABASE_URL) can't be reached"),
        ("worker", "REDIS_URL", "the bus (REDIS_URL) can't be reached"),
        ("beat", "REDIS_URL", "the bus (REDIS_URL) can't be reached"),
    ],
)
def test_worker_and_beat_end_when_a_server_is_away(tmp_path, command, away, text):
    addresses = {name: os.environ[name] for name in ("DATABASE_URL", "REDIS_URL")}
    with closed_port() as port:
        scheme = "postgres" if away == "DATABASE_URL" else "redis"
        addresses[away] = f"{scheme}://:x@127.0.0.1:{port}/0"
        done = completed(command_of(command), variables(tmp_path, **addresses))
    assert_one_line(command, done.returncode, done.stderr, expected=69, text=text)


def completed(command, env):
    return subprocess.run(
        command,
        cwd=environment.BASE_DIR,
        env=env,
        capture_output=True,
        text=True,
        timeout=patience(10),
    )


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"DATABASE_URL": "postgres://me:p/w@db/candles"}, "DATABASE_URL names an invalid host"),
        ({"TRADE_CANVAS_ENABLE_PG_ONLY": "1", "TRADE_CANVAS_ENABLE_PG_STORE": "0"}, "pg_only"),
    ],
)
@pytest.mark.parametrize("command", [manage("series"), command_of("beat")], ids=["manage", "beat"])
def test_settings_that_can_not_be_read_are_one_line(tmp_path, command, given, text):
    done = completed(command, variables(tmp_path, REDIS_URL="redis://127.0.0.1:1/0") | given)
    assert (done.returncode, len(done.stderr.splitlines())) == (failures.REFUSED, 1), done.stderr
    assert text in done.stderr and "p/w" not in done.stderr


def started(code, **streams):
    """A Python process that runs `code`, and whose output is read here."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=environment.BASE_DIR,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **streams,
    )


def test_ctrl_c_is_one_line():
    code = (
        # A process in the background of a shell may have inherited that it is ignored.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from trade_canvas import failures\nwith failures.end_on_failure():\n"
        "    print('ready', flush=True)\n    input()"
    )
    process = started(code, stdin=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=patience(10))
    assert (process.returncode, told) == (failures.INTERRUPTED, "interrupted\n")


def test_reader_that_has_gone_is_no_error(tmp_path):
    code = (
        "import sys; from trade_canvas import failures\n"
        "with failures.end_on_failure():\n    while True: print('x' * 1000)"
    )
    process = started(code)
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait(patience(10)) == failures.BROKEN_PIPE
