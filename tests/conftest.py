"""Fixtures for tests that cross processes."""

from __future__ import annotations

import fcntl
import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.contrib.auth.hashers import make_password

from lab.database import close_database, create_database, drop_database
from lab.installation import Installation, passable_folder
from lab.program import COLLECT_STATIC, Program, inherited, manage
from trade_canvas.environment import BASE_DIR
from trade_canvas.up.plan import MANAGE

TIMESCALE = "TRADE_CANVAS_ENABLE_TIMESCALE"
SWITCHES = {
    "TRADE_CANVAS_ENABLE_PG_STORE": "1",
    "TRADE_CANVAS_ENABLE_WS_PUBSUB": "1",
    "TRADE_CANVAS_ENABLE_WS_PUSH": "1",
    "TRADE_CANVAS_ENABLE_DEBUG_API": "1",
    "TRADE_CANVAS_ENABLE_DEV_API": "1",
    "TRADE_CANVAS_ENABLE_KLINE_HEALTH_V2": "1",
    "TRADE_CANVAS_ENABLE_COMPACT_HISTORY": "1",
    # Write endpoints answer on loopback without a token.
    "DEBUG": "1",
}
ONE_PROCESS = {"TRADE_CANVAS_ENABLE_PG_STORE": "0", "TRADE_CANVAS_ENABLE_WS_PUBSUB": "0"}
PINNED = ("sim:futures:BTC/USDT:1s", "sim:futures:BTC/USDT:1m")
INSTALLED = {
    "TRADE_CANVAS_ENABLE_WHITELIST_INGEST": "1",
    "TRADE_CANVAS_ENABLE_ONDEMAND_INGEST": "1",
    "TRADE_CANVAS_ENABLE_STARTUP_KLINE_SYNC": "1",
    "TRADE_CANVAS_STARTUP_KLINE_SYNC_TARGET_CANDLES": "2500",
    "TRADE_CANVAS_ONDEMAND_IDLE_TTL_S": "1",
    "TRADE_CANVAS_LEASE_TTL_S": "3",
    "TRADE_CANVAS_RECONCILE_INTERVAL_S": "0.5",
    "TRADE_CANVAS_HUB_CHECK_INTERVAL_S": "0.5",
    "TRADE_CANVAS_ENABLE_ALERTS": "1",
}


@contextmanager
def running_stack(migrated_template):
    """An installation on a database of its own, for as long as the context lasts."""
    database_url = create_database(migrated_template, prefix="stack", template=migrated_template)
    with passable_folder() as folder:
        with Installation(folder, SWITCHES, database_url=database_url) as opened:
            yield opened
        drop_database(database_url)


@pytest.fixture
def open_folder():
    """A folder that the embedded servers' account can pass through, unlike tmp_path."""
    with passable_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def migrated_template(tmp_path_factory):
    """The address of a migrated, empty database that stacks are cloned from."""
    url = create_database(os.environ["DATABASE_URL"], prefix="template")
    program = Program(
        "migrate",
        manage("migrate", "--verbosity", "0"),
        {
            **inherited(),
            **SWITCHES,
            "TRADE_CANVAS_ENABLE_WS_PUBSUB": "0",
            TIMESCALE: os.environ.get(TIMESCALE, "0"),
            "DATABASE_URL": url,
            "DATA_DIR": str(tmp_path_factory.mktemp("template")),
        },
        log=tmp_path_factory.mktemp("template") / "migrate.log",
    ).start()
    assert program.wait() == 0, program.output()
    close_database(url)
    yield url
    drop_database(url)


@pytest.fixture(scope="session")
def session_stack(migrated_template):
    """A stack for all files here: a test ends what it starts, and keeps to series of its own."""
    with running_stack(migrated_template) as opened:
        yield opened


@pytest.fixture(scope="session")
def shared_web(session_stack):
    """A web process on PostgreSQL and Valkey; a test keeps to series of its own."""
    return session_stack.web()


@pytest.fixture(scope="session")
def one_process(session_stack):
    """A web process that keeps everything in memory; a test keeps to series of its own."""
    return session_stack.web(**ONE_PROCESS)


@pytest.fixture(scope="session")
def built_client():
    """The TypeScript client, built into clients/typescript/dist."""
    with Path(MANAGE).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        subprocess.run(["make", "client"], cwd=BASE_DIR, check=True)


@pytest.fixture(scope="session")
def static_files():
    """The built page, put where web processes serve it from."""
    # One test process at a time: they share the folder.
    with Path(MANAGE).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not (BASE_DIR / "frontend" / "dist" / "index.html").is_file():
            subprocess.run(["make", "frontend"], cwd=BASE_DIR, check=True)
        subprocess.run(manage(*COLLECT_STATIC), cwd=BASE_DIR, check=True)


@pytest.fixture(scope="package")
def installed(migrated_template, static_files):
    """Exchange, web, worker and beat that follow PINNED and what is watched.

    A test leaves the exchange without faults, and a web process on the address where it found one.
    Apart from PINNED, each test file follows series that no other file names.
    """
    with running_stack(migrated_template) as opened:
        opened.environment.update(INSTALLED)
        opened.local_exchange()
        opened.whitelist(PINNED)
        opened.start_all()
        yield opened


@pytest.fixture(scope="package")
def admin_account(installed):
    """Name and password of an account with every permission."""
    name, password = "looker", "of-the-looker-2"
    installed.sql(
        "INSERT INTO auth_user (username, password, first_name, last_name, email, is_superuser,"
        " is_staff, is_active, date_joined) VALUES (%s, %s, '', '', '', true, true, true, now())",
        *(name, make_password(password)),
    )
    return name, password


@pytest.fixture
def stack(migrated_template):
    """A stack (lab.installation.Installation) for one test."""
    with running_stack(migrated_template) as opened:
        yield opened


@pytest.fixture(scope="module")
def shared_stack(migrated_template):
    """A stack for the tests of one file, which then keep to series of their own."""
    with running_stack(migrated_template) as opened:
        yield opened


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Show the last lines of every process when a test fails."""
    report = yield
    if report.failed:
        arguments = getattr(item, "funcargs", {})
        stacks = {id(each): each for each in arguments.values() if isinstance(each, Installation)}
        for each in stacks.values():
            report.sections.append(("processes", each.show()))
    return report
