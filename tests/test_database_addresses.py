"""Real processes through the addresses of a database that installations have.

Several hosts, a schema of its own, a password that must be encoded, a socket, and pgbouncer.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from urllib.parse import quote, urlsplit

import psycopg2
import pytest

from lab.database import create_database, drop_database, run_sql
from lab.http import post
from lab.installation import Installation, passable_folder
from lab.program import Program, inherited, manage
from tests.conftest import SWITCHES
from tests.test_command_failures import closed_port
from trade_canvas.embedded import postgres, start_postgres
from trade_canvas.embedded.account import server_account
from trade_canvas.embedded.server import free_port

ROLE = "ann lee"
PASSWORD = "p@ss/w:rd%?#&é"
CREDENTIALS = f"{quote(ROLE)}:{quote(PASSWORD, safe='')}"
SERIES = "sim:spot:BTC/USDT:1m"
ROWS = 300
TIMEOUTS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")


@pytest.fixture
def database():
    """A new database that belongs to a role with an unusual name and password."""
    url = create_database(os.environ["DATABASE_URL"], prefix="addresses")
    name = urlsplit(url).path.strip("/")
    run_sql(url, f"CREATE ROLE \"{ROLE}\" LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
    run_sql(url, f'ALTER DATABASE {name} OWNER TO "{ROLE}"')
    yield url
    drop_database(url)
    run_sql(os.environ["DATABASE_URL"], f'DROP ROLE "{ROLE}"')


@contextmanager
def installed(url):
    with passable_folder() as folder, Installation(folder, SWITCHES, database_url=url) as opened:
        yield opened


def candle_file(folder, close=1.0):
    path = folder / f"candles-{close}.csv"
    rows = [f"{60 * n},1,9,1,{close},1" for n in range(ROWS)]
    path.write_text("\n".join(["candle_time,open,high,low,close,volume", *rows, ""]))
    return str(path)


def work(installation):
    """Take every path to the database: tables, web process, worker, and the commands."""
    installation.manage("migrate", "--verbosity", "0")
    web = installation.web()
    installation.worker()
    for close in (1.0, 2.0):
        installation.manage("import_candles", candle_file(installation.directory, close), SERIES)
    candle = {
        "candle_time": 60 * ROWS,
        **dict.fromkeys(("open", "high", "low", "close", "volume"), 1),
    }
    status, answer = post(
        f"{web.url}/api/market/ingest/candle_closed", {"series_id": SERIES, "candle": candle}
    )
    assert status == 200, answer
    assert f"{ROWS + 1}" in installation.manage("series")
    assert "no candles" not in installation.manage("export_candles", SERIES)
    assert "DIFFERENT" not in installation.manage("verify", SERIES, "--no-progress")


@pytest.mark.prove
def test_several_hosts_and_a_schema(database):
    parts = urlsplit(database)
    run_sql(database, f'CREATE SCHEMA canvas AUTHORIZATION "{ROLE}"')
    with closed_port() as nothing:
        hosts = f"127.0.0.1:{nothing},{parts.hostname}:{parts.port}"
        parameters = "target_session_attrs=read-write&options=-csearch_path%3Dcanvas,public"
        with installed(f"postgres://{CREDENTIALS}@{hosts}{parts.path}?{parameters}") as opened:
            work(opened)
    tables = "SELECT schemaname FROM pg_tables WHERE tablename = 'candles'"
    assert run_sql(database, tables) == [("canvas",)]


@pytest.mark.prove
def test_socket_in_a_folder_with_capitals(monkeypatch):
    with passable_folder() as folder:
        sockets = folder / "Sockets of PG"
        sockets.mkdir()
        sockets.chmod(0o777)
        settings = postgres.SETTINGS | {"unix_socket_directories": f'"{sockets}"'}
        monkeypatch.setattr(postgres, "SETTINGS", settings)
        server = start_postgres(folder)
        try:
            password = urlsplit(server.url).password
            place = f"{quote(str(sockets), safe='')}:{server.port}"
            with installed(f"postgres://trade_canvas:{password}@{place}/postgres") as opened:
                work(opened)
        finally:
            server.stop()


@pytest.fixture
def pooler(database):
    """pgbouncer in transaction mode with a pool of five, as docs/database.md describes it."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "this proof needs pgbouncer (Debian: apt-get install pgbouncer)"
    parts = urlsplit(database)
    for each in TIMEOUTS:
        run_sql(database, f"ALTER ROLE \"{ROLE}\" SET {each} = '60s'")
    run_sql(database, f'CREATE SCHEMA canvas AUTHORIZATION "{ROLE}"')
    run_sql(database, f'ALTER ROLE "{ROLE}" SET search_path = canvas, public')
    with passable_folder() as folder:
        port = free_port()
        (folder / "users").write_text(f'"{ROLE}" "{PASSWORD}"\n')
        (folder / "ini").write_text(
            f"[databases]\n* = host={parts.hostname} port={parts.port}\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = plain\nauth_file = {folder / 'users'}\n"
            "pool_mode = transaction\ndefault_pool_size = 5\nmax_client_conn = 200\n"
        )
        bouncer = Program(
            "pgbouncer",
            [program, *_account_options(folder), str(folder / "ini")],
            inherited(),
            log=folder / "log",
            is_ready=lambda _: _connects(f"postgres://{CREDENTIALS}@127.0.0.1:{port}{parts.path}"),
        )
        bouncer.start().wait_ready()
        try:
            yield f"postgres://{CREDENTIALS}@127.0.0.1:{port}{parts.path}"
        finally:
            bouncer.terminate()


def _account_options(folder):
    """pgbouncer does not run as root."""
    account = server_account()
    if account.user is None:
        return []
    for path in (folder, *folder.iterdir()):
        account.own(path)
    name = subprocess.run(
        ["id", "-nu", str(account.user)], capture_output=True, text=True, check=True
    )
    return ["--user", name.stdout.strip()]


def _connects(url):
    try:
        psycopg2.connect(url, connect_timeout=2).close()
    except psycopg2.OperationalError:
        return False
    return True


@pytest.mark.prove
def test_pgbouncer_in_transaction_mode(database, pooler):
    with installed(pooler) as opened:
        opened.environment["TRADE_CANVAS_ENABLE_PG_POOLER"] = "1"
        work(opened)
    tables = "SELECT schemaname FROM pg_tables WHERE tablename = 'candles'"
    assert run_sql(database, tables) == [("canvas",)]


@pytest.mark.prove
def test_pgbouncer_without_its_switch_is_one_line(pooler):
    with installed(pooler) as opened:
        program = opened.start("series", manage("series"))
        assert program.wait() == 69
        assert "can't be reached" in program.output()
        assert "set TRADE_CANVAS_ENABLE_PG_POOLER=1" in program.output()
