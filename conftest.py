"""One PostgreSQL and one Valkey per test session, and settings that no outside variable bends.

The servers start when something other than pure domain tests is asked for. TEST_DATABASE_URL (or
DATABASE_URL) and REDIS_URL name running servers to use instead. On a server that has TimescaleDB,
candles are kept in a hypertable throughout the session.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import sys
import tempfile
import threading
import traceback
import uuid
from collections import Counter
from pathlib import Path

import kombu.pools
import psycopg2
import pytest

from lab.waiting import WaitTimeout
from market import collector, singletons
from tests.distribution import Distribution, file_of, places_of
from tests.examples import IS_THOROUGH, load_profile
from trade_canvas import embedded
from trade_canvas.embedded import server as embedded_server

load_profile()

# jsonschema imports it for formats that no schema here has: 38 grammars compiled in two seconds.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

SWITCHES = {
    "TRADE_CANVAS_ENABLE_PG_STORE": "1",
    "TRADE_CANVAS_ENABLE_WS_PUBSUB": "1",
    "TRADE_CANVAS_ENABLE_WS_PUSH": "1",
    "TRADE_CANVAS_ENABLE_DEBUG_API": "1",
    "TRADE_CANVAS_ENABLE_DEV_API": "1",
    "TRADE_CANVAS_ENABLE_KLINE_HEALTH_V2": "1",
    "TRADE_CANVAS_ENABLE_COMPACT_HISTORY": "1",
}
TIMESCALE = "TRADE_CANVAS_ENABLE_TIMESCALE"
OURS = ("DATA_DIR", "DEBUG", "SECRET_KEY", "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "ASGI_SERVER")
FOREIGN = Path(__file__).parent / "tests" / "foreign_example"
FOREIGN_SWITCHES = {
    "TRADE_CANVAS_FOREIGN_FACTORS": "ema",
    "TRADE_CANVAS_FACTOR_INSTANCES": json.dumps(
        {
            "ema_50": {"factor": "ema", "parameters": {"length": 50}},
            "pivot_20": {"factor": "pivot", "parameters": {"window_major": 20}},
            "pen_20": {"factor": "pen", "uses": {"pivot": "pivot_20"}, "label": "Pen 20"},
        }
    ),
}
SESSION_KEY = pytest.StashKey["Session"]()


class Session:
    """The servers and the folder of one test session."""

    def __init__(self) -> None:
        # The servers' account must be able to pass through; the name stays unguessable.
        self.directory = Path(tempfile.mkdtemp(prefix="trade_canvas-tests-"))
        self.directory.chmod(0o711)
        self.servers: list[embedded.EmbeddedServer] = []

    def database_url(self) -> str:
        given = os.environ.get("TEST_DATABASE_URL") or os.environ.get("DATABASE_URL")
        return given or self._forgetful(self._start(embedded.start_postgres))

    def switches(self, database_url: str) -> dict[str, str]:
        if _has_timescale(database_url):
            return SWITCHES | {TIMESCALE: "1"}
        if os.environ.get("TEST_REQUIRES_TIMESCALE"):
            raise pytest.UsageError("TEST_DATABASE_URL names no server that loads TimescaleDB")
        return SWITCHES

    def redis_url(self) -> str:
        return os.environ.get("REDIS_URL") or self._start(embedded.start_valkey)

    def close(self) -> None:
        for server in self.servers:
            server.stop()
        shutil.rmtree(self.directory)

    def _forgetful(self, url: str) -> str:
        """Let the server not wait for the disk: its data need not survive the session."""
        with contextlib.closing(psycopg2.connect(url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("ALTER SYSTEM SET fsync = off")
                cursor.execute("ALTER SYSTEM SET full_page_writes = off")
                # What it learns of one test's rows makes poor plans for the next test's.
                cursor.execute("ALTER SYSTEM SET autovacuum = off")
                cursor.execute("SELECT pg_reload_conf()")
        return url

    def _start(self, start) -> str:
        server = start(self.directory)
        self.servers.append(server)
        return server.url


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "browser: needs Chromium")
    config.addinivalue_line("markers", "prove: long; runs in `make prove` only")
    if config.option.help or config.option.version or _is_pure(config.args):
        return
    if worker := getattr(config, "workerinput", None):
        # No test process takes a port that another has chosen and not used yet.
        number = int(worker["workerid"].removeprefix("gw"))
        embedded_server.PORTS = embedded_server.PORTS[number :: worker["workercount"]]
    session = Session()
    config.stash[SESSION_KEY] = session
    os.environ["DATABASE_URL"] = session.database_url()
    os.environ["REDIS_URL"] = session.redis_url()
    os.environ["DATA_DIR"] = str(session.directory)
    os.environ.update(session.switches(os.environ["DATABASE_URL"]))
    # pytest-django sets Django up when it sees this, after this hook.
    os.environ["DJANGO_SETTINGS_MODULE"] = "trade_canvas.settings"
    from django.conf import settings  # noqa: PLC0415  Reads the environment made above.

    assert settings.SWITCHES.enable_pg_store
    # whitenoise warns of a missing folder, and warnings are errors here. Not the checkout's: what
    # other test processes collect there may be gone before it is listed.
    settings.STATIC_ROOT = session.directory / "static"
    settings.STATIC_ROOT.mkdir()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log) -> Distribution | None:
    """Distribute whole files as `make test` does, unless another way is asked for."""
    return Distribution(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection():
    """Collect no garbage among the modules and items of all tests, now or during a test.

    They stay to the end, and each of the test processes has half a million objects of them.
    """
    collector.begin_start()
    try:
        return (yield)
    finally:
        collector.end_start()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long proofs out, and bring the files into the order of `tests.distribution`."""
    if not IS_THOROUGH:
        config.hook.pytest_deselected(items=[each for each in items if _is_long(each)])
        items[:] = [each for each in items if not _is_long(each)]
    places = places_of(Counter(file_of(each.nodeid) for each in items))
    items.sort(key=lambda each: places[file_of(each.nodeid)])


def _is_long(item: pytest.Item) -> bool:
    return item.get_closest_marker("prove") is not None


def pytest_unconfigure(config: pytest.Config) -> None:
    session = config.stash.get(SESSION_KEY, None)
    if session is not None:
        session.close()


def _has_timescale(url: str) -> bool:
    with contextlib.closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('timescaledb.disable_load', true) = 'off'")
        return bool(cursor.fetchone()[0])


def _clear_environment() -> None:
    for name in list(os.environ):
        if name.startswith("TRADE_CANVAS_") or name in OURS:
            del os.environ[name]


def _install_foreign_factors() -> None:
    """With TEST_FOREIGN_FACTORS, run all tests with a factor of another package, three times."""
    if not os.environ.get("TEST_FOREIGN_FACTORS"):
        return
    # Also for the processes that tests start.
    paths = [str(FOREIGN), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    sys.path.insert(0, str(FOREIGN))
    os.environ.update(FOREIGN_SWITCHES)


# Not in pytest_configure: test packages that are named on the command line are imported before it.
_clear_environment()
_install_foreign_factors()


def _is_pure(arguments: list[str]) -> bool:
    """Return whether only domain tests are asked for, which need no Django."""
    here = Path(__file__).parent
    places = (os.path.relpath(argument.split("::")[0], here) for argument in arguments)
    return all("domain" in Path(place).parts for place in places)


@pytest.fixture(scope="session", autouse=True)
def _addresses(pytestconfig: pytest.Config) -> None:
    """Make the addresses by the session's switches, before a test turns one off."""
    if SESSION_KEY in pytestconfig.stash:
        importlib.import_module("trade_canvas.urls")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """Show where every thread stands when a test has waited in vain."""
    report = yield
    if call.excinfo is not None and call.excinfo.errisinstance(WaitTimeout):
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        stacks = (
            f"{names.get(ident)}:\n{''.join(traceback.format_stack(frame))}"
            for ident, frame in sys._current_frames().items()
        )
        report.sections.append(("threads", "\n".join(stacks)))
    return report


@pytest.fixture(autouse=True)
def _singletons_end_with_the_test():
    """Leave no singleton to the next test, and no thread with a database connection."""
    yield
    singletons.reset()
    _close_broker()


def _close_broker() -> None:
    """Close Celery's connections, whose queues have the prefix of this test's installation."""
    celery = sys.modules.get("trade_canvas.celery")
    if celery is not None and vars(celery.app).pop("amqp", None) is not None:
        celery.app._pool = None
        kombu.pools.reset()


@pytest.fixture(autouse=True)
def _identity_without_database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """Let a test that may not use the database have an installation's id for its keys."""
    uses_database = {"db", "transactional_db"} & set(request.fixturenames)
    if uses_database or request.node.get_closest_marker("django_db"):
        return
    if SESSION_KEY in request.config.stash:
        identity = importlib.import_module("market.identity")
        # One for each test: they share a Valkey, also with those of other test processes.
        made = uuid.uuid4().hex[:16]
        monkeypatch.setattr(identity, "_read_from_database", lambda: (made, "none"))


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup):
    """Let the end of a test empty only the tables that have rows.

    Django empties every table after each test, and makes content types and permissions anew, which
    costs more than most tests do; those two keep their rows, and the database its identity.
    """
    from django.contrib.auth.management import create_permissions  # noqa: PLC0415  Needs settings.
    from django.contrib.contenttypes.management import create_contenttypes  # noqa: PLC0415
    from django.db import connection  # noqa: PLC0415
    from django.db.models.signals import post_migrate  # noqa: PLC0415

    kept = {"django_content_type", "auth_permission", "installation"}
    sql_flush = connection.ops.sql_flush

    def flush_written(style, tables, **options):
        # The threads of the database pool may still write.
        singletons.reset()
        written = _with_rows(connection, sorted(set(tables) - kept))
        return sql_flush(style, written, **options | {"allow_cascade": True}) if written else []

    connection.ops.sql_flush = flush_written
    assert post_migrate.disconnect(
        create_permissions, dispatch_uid="django.contrib.auth.management.create_permissions"
    )
    assert post_migrate.disconnect(create_contenttypes)


def _with_rows(connection, tables: list[str]) -> list[str]:
    """Return the tables that are not empty."""
    names = map(connection.ops.quote_name, tables)
    one = "SELECT {number} WHERE EXISTS (SELECT FROM {name})"
    query = " UNION ALL ".join(one.format(number=n, name=name) for n, name in enumerate(names))
    with connection.cursor() as cursor:
        cursor.execute(query)
        return [tables[number] for (number,) in cursor.fetchall()]
