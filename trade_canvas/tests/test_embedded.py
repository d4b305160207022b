"""The embedded servers: start, ownership, restart, recovery, and their end with the owner."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from lab.waiting import patience, wait_until
from market.files import try_lock
from trade_canvas import embedded
from trade_canvas.embedded import account
from trade_canvas.embedded import server as module
from trade_canvas.embedded.server import is_port_free

ROOT = Path(__file__).parents[2]
# The account of the tests, so that they need not run as root.
ME = account.Account(None, None)


@contextmanager
def reachable_folder():
    # Not tmp_path: the servers' account can't pass through pytest's private folders.
    path = Path(tempfile.mkdtemp(prefix="trade_canvas-embedded-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def directory():
    with reachable_folder() as path:
        yield path


@pytest.fixture(scope="module")
def shared_directory():
    with reachable_folder() as path:
        yield path


# One cluster for the module, because its set-up takes a second. Every test leaves it running.
@pytest.fixture(scope="module")
def postgres(shared_directory):
    server = embedded.start_postgres(shared_directory)
    yield server
    server.stop()


@pytest.fixture
def valkey(directory):
    server = embedded.start_valkey(directory)
    yield server
    server.stop()


def ask(url, query):
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        connection.commit()
        return cursor.fetchall() if cursor.description else []


def test_postgres_refuses_a_wrong_password(postgres):
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(f"postgres://trade_canvas:wrong@127.0.0.1:{postgres.port}/postgres")


def test_postgres_is_durable_utf8_and_c_locale(postgres):
    assert ask(
        postgres.url,
        "SELECT current_setting('fsync'), current_setting('synchronous_commit'),"
        " pg_encoding_to_char(encoding), datcollate FROM pg_database WHERE datname = 'postgres'",
    ) == [("on", "on", "UTF8", "C")]


def test_postgres_keeps_data_port_and_password_over_a_restart(postgres):
    url = postgres.url
    ask(url, "CREATE TABLE kept_over_restart AS SELECT 1 AS value")
    postgres.stop()
    assert not postgres.is_running()
    postgres.start()
    assert postgres.url == url
    assert ask(url, "SELECT value FROM kept_over_restart") == [(1,)]


def test_postgres_recovers_after_kill(postgres):
    ask(postgres.url, "CREATE TABLE kept_over_kill AS SELECT 1 AS value")
    postgres.kill()
    postgres.start()
    assert ask(postgres.url, "SELECT value FROM kept_over_kill") == [(1,)]


def test_postgres_starts_despite_a_lock_file_of_another_program(postgres, shared_directory):
    postgres.stop()
    lock = shared_directory / "postgres" / "cluster" / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n{shared_directory}\n")
    postgres.start()
    assert ask(postgres.url, "SELECT 1") == [(1,)]


def test_postgres_takes_another_port_when_its_own_is_taken(postgres):
    postgres.stop()
    with closing(socket.create_server(("127.0.0.1", postgres.port))):
        taken = postgres.port
        postgres.start()
        assert postgres.port != taken
        assert ask(postgres.url, "SELECT 1") == [(1,)]


def test_server_is_not_started_beside_a_running_one(valkey, directory, monkeypatch):
    monkeypatch.setattr(module, "STOP_TIMEOUT_S", 0.05)
    with pytest.raises(embedded.ServerFailed, match="run by another process"):
        embedded.start_valkey(directory)
    assert valkey.start() is valkey


def test_postgres_that_can_not_start_raises_with_its_log(directory):
    (directory / "postgres" / "cluster").mkdir(parents=True)
    with pytest.raises(embedded.ServerFailed, match="configuration file"):
        embedded.start_postgres(directory)


def test_valkey_needs_its_password(valkey):
    client = redis.Redis(port=valkey.port, retry=Retry(NoBackoff(), 0))
    with closing(client), pytest.raises(redis.AuthenticationError):
        client.ping()


def test_valkey_keeps_keys_over_kill_and_restart(valkey):
    with closing(redis.Redis.from_url(valkey.url)) as client:
        client.set("kept", "1")
        # Appended within a second otherwise.
        client.execute_command("WAITAOF", 1, 0, 5000)
    url = valkey.url
    valkey.kill()
    valkey.start()
    assert valkey.url == url
    with closing(redis.Redis.from_url(url)) as client:
        assert client.get("kept") == b"1"


def user_of(directory):
    """Start a process that asks for Valkey's address, prints it, and ends with its input."""
    code = (
        "import sys; from pathlib import Path; from trade_canvas import embedded;"
        "print(embedded.redis_url(Path(sys.argv[1])), flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(directory)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, **pipes)


def test_server_ends_with_its_owner_killed(directory):
    with user_of(directory) as owner:
        port = urlsplit(owner.stdout.readline()).port
        assert not is_port_free(port)
        owner.kill()
    wait_until(lambda: is_port_free(port), what="the server to end with its owner")


def test_processes_that_start_at_once_use_the_server_of_one_of_them(directory):
    users = [user_of(directory) for _ in range(4)]
    urls = {each.stdout.readline() for each in users}
    owner = embedded.owner_pid(directory)
    assert owner in {str(each.pid) for each in users}
    assert len(urls) == 1
    port = urlsplit(urls.pop()).port
    for each in sorted(users, key=lambda each: str(each.pid) == owner):
        assert not is_port_free(port)
        each.communicate(timeout=patience(20))
    assert is_port_free(port)


def test_process_beside_the_owner_starts_no_server(directory, monkeypatch):
    monkeypatch.setattr(module, "START_TIMEOUT_S", 0.05)
    (directory / "run").mkdir()
    with open(directory / "run" / "owner.lock", "w") as lock:
        assert try_lock(lock)
        print("4711", end="", file=lock, flush=True)
        with pytest.raises(embedded.ServerFailed, match="process 4711 owns"):
            embedded.redis_url(directory)
    assert not (directory / "valkey").exists()


def test_record_of_an_older_version_is_read(valkey, directory):
    path = directory / "run" / "valkey.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "guard_pid": 1}))
    url = valkey.url
    valkey.stop()
    assert valkey.start().url == url


def test_addresses_are_readable_by_the_owner_only(valkey, directory):
    mode = (directory / "run" / "valkey.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_secret_key_is_random_private_and_kept(tmp_path):
    first = embedded.secret_key(tmp_path / "a")
    assert embedded.secret_key(tmp_path / "a") == first
    assert embedded.secret_key(tmp_path / "b") != first
    assert len(first) >= 50
    assert stat.S_IMODE((tmp_path / "a" / "secret_key").stat().st_mode) == 0o600


@pytest.fixture
def stranger(tmp_path):
    """An account that may not pass through a private folder of ours."""
    facts = tmp_path.stat()
    return account.Account(facts.st_uid + 1, facts.st_gid + 1)


def test_account_can_not_reach_below_a_private_folder(stranger, tmp_path):
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    assert not account.can_reach(stranger, private / "data")


def test_server_directory_out_of_reach_is_linked_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(account, "STATE_PLACES", (tmp_path / "state",))
    monkeypatch.setattr(account, "can_reach", lambda *_: False)
    wanted = tmp_path / "data" / "postgres"
    made = account.server_directory(ME, wanted)
    assert made.parent == tmp_path / "state"
    assert wanted.resolve() == made
    assert account.server_directory(ME, wanted) == made


def test_programs_out_of_reach_are_copied_once(tmp_path, monkeypatch):
    monkeypatch.setattr(account, "STATE_PLACES", (tmp_path / "state",))
    monkeypatch.setattr(account, "can_reach", lambda *_: False)
    (tmp_path / "root" / "package" / "bin").mkdir(parents=True)
    (tmp_path / "root" / "package" / "bin" / "serve").write_text("1")
    (tmp_path / "root" / "package" / "bin").chmod(0o700)

    def copied():
        root, parts = tmp_path / "root", ("package/bin",)
        return account.reachable_root(ME, root, parts=parts, version="1") / "package/bin/serve"

    assert copied().read_text() == "1"
    assert stat.S_IMODE(copied().parent.stat().st_mode) == 0o755
    copied().write_text("kept")
    assert copied().read_text() == "kept"


@pytest.mark.parametrize("start", [embedded.start_postgres, embedded.start_valkey])
def test_server_runs_from_a_copy_of_its_programs(directory, monkeypatch, start):
    monkeypatch.setattr(account, "STATE_PLACES", (directory / "state",))
    ours = str(directory)
    monkeypatch.setattr(account, "can_reach", lambda who, path: str(path).startswith(ours))
    server = start(directory / "data")
    try:
        assert "state/programs" in os.readlink(f"/proc/{server.pid}/exe")
    finally:
        server.stop()
