"""Starts after a power loss, which leaves files empty or full of zeros, and in unusual folders."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import redis

from lab.waiting import patience
from market import files
from trade_canvas import embedded, environment
from trade_canvas.failures import failure_of
from trade_canvas.tests.test_embedded import ask, reachable_folder, shared_directory

__all__ = ["shared_directory"]

START = {"postgres": embedded.start_postgres, "valkey": embedded.start_valkey}
CONTENTS = pytest.mark.parametrize("content", [b"", b"\0" * 64], ids=["empty", "zeros"])
NAMES = pytest.mark.parametrize(
    "name",
    [
        "run/owner.lock",
        "run/postgres.guard",
        "run/postgres.json",
        "run/valkey.guard",
        "run/valkey.json",
        "postgres/cluster/postmaster.pid",
        "valkey/valkey.conf",
        "valkey/appendonlydir/appendonly.aof.manifest",
        "valkey/appendonlydir/appendonly.aof.1.base.rdb",
    ],
)


@pytest.fixture(scope="module")
def installation(shared_directory):
    """A folder with data of both servers, which do not run."""
    embedded.take_ownership(shared_directory)
    postgres = embedded.start_postgres(shared_directory)
    ask(postgres.url, "CREATE TABLE kept AS SELECT 1 AS value")
    valkey = embedded.start_valkey(shared_directory)
    # Its files exist once it has stopped in an orderly way.
    valkey.stop()
    postgres.stop()
    return shared_directory


def test_every_file_in_run_is_lost_in_a_test(installation):
    listed = {Path(each).name for each in NAMES.args[1] if each.startswith("run/")}
    assert {each.name for each in (installation / "run").iterdir()} == listed


@NAMES
@CONTENTS
def test_server_starts_although_a_file_was_lost(installation, name, content):
    kind = "valkey" if "valkey" in name else "postgres"
    START[kind](installation).kill()
    path = installation / name
    with path.open("r+b") as file:
        # The file keeps its owner.
        file.truncate(0)
        file.write(content)
    server = START[kind](installation)
    try:
        if kind == "postgres":
            assert ask(server.url, "SELECT value FROM kept") == [(1,)]
        else:
            with closing(redis.Redis.from_url(server.url)) as client:
                assert client.ping()
    finally:
        server.stop()


@CONTENTS
def test_lost_secret_is_made_again(tmp_path, content, capsys):
    first = embedded.secret_key(tmp_path)
    (tmp_path / "secret_key").write_bytes(content)
    second = embedded.secret_key(tmp_path)
    assert second != first and len(second) >= 50
    assert embedded.secret_key(tmp_path) == second
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600
    assert len(capsys.readouterr().err.splitlines()) == 1


@CONTENTS
def test_lost_environment_sets_nothing(tmp_path, content):
    environment.save({"DATA_DIR": str(tmp_path), "DEBUG": "1"})
    (tmp_path / "environment").write_bytes(b"A=" + content + b"\xff\n" + content)
    given = {"DATA_DIR": str(tmp_path)}
    environment.load(given)
    assert given["DATA_DIR"] == str(tmp_path) and "DEBUG" not in given
    assert not any("\0" in each for each in given.values())


def test_file_is_synced_before_it_gets_its_name(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: done.append(os.fstat(descriptor).st_mode))
    real = Path.replace
    monkeypatch.setattr(Path, "replace", lambda *both: (done.append("renamed"), real(*both)))
    files.write_whole(tmp_path / "record", "{}", mode=0o600)
    assert stat.S_ISREG(done[0]) and done[1] == "renamed" and stat.S_ISDIR(done[2])
    assert (tmp_path / "record").read_text() == "{}"
    assert stat.S_IMODE((tmp_path / "record").stat().st_mode) == 0o600


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "record"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), files.whole_file(path) as draft:
        draft.write_text("new")
        raise ZeroDivisionError
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("record", "old")]


def test_servers_start_in_a_folder_with_an_unusual_name():
    with reachable_folder() as folder:
        place = folder / 'it\'s a "DATA\\DIR" %d $HOME 数据 é'
        place.mkdir(mode=0o711)
        for start in START.values():
            server = start(place)
            server.stop()
        environment.save({"DATA_DIR": str(place), "DEBUG": "1"})
        given = {"DATA_DIR": str(place)}
        environment.load(given)
        assert given["DEBUG"] == "1"


def test_folder_with_too_long_a_name_is_one_line(tmp_path):
    with pytest.raises(OSError, match="too long") as error:
        embedded.secret_key(tmp_path / ("x" * 300))
    failure = failure_of(error.value)
    assert failure.status == 1 and "too long" in failure.line


def test_account_without_a_name_is_told_what_to_do(tmp_path, monkeypatch):
    def unknown(user):
        raise KeyError(user)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with reachable_folder() as folder, pytest.raises(embedded.ServerFailed) as error:
        embedded.start_postgres(folder)
    line = failure_of(error.value).line
    assert f"user id {os.geteuid()} has no name" in line and "/etc/passwd" in line


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
def test_process_of_an_account_without_a_name_is_told_what_to_do():
    # It changes its account once all is imported: that account may not read this Python.
    code = """
import os, sys
from pathlib import Path
from trade_canvas import embedded
os.setgid(54_321)
os.setuid(54_321)
try:
    embedded.start_postgres(Path(sys.argv[1]))
except embedded.ServerFailed as error:
    sys.exit(str(error))
"""
    with reachable_folder() as folder:
        folder.chmod(0o777)
        done = subprocess.run(
            [sys.executable, "-c", code, str(folder)],
            cwd=environment.BASE_DIR,
            capture_output=True,
            text=True,
            timeout=patience(),
        )
    assert "user id 54321 has no name" in done.stderr
