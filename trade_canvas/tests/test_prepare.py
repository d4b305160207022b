from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from django.contrib.auth import authenticate
from django.core.management import call_command

from market.models import WhitelistedSeries
from trade_canvas.up.plan import DEMO_SERIES


@pytest.fixture(autouse=True)
def folders(settings, tmp_path, monkeypatch):
    settings.STATIC_ROOT = tmp_path / "static"
    settings.FRONTEND_DIST = tmp_path / "dist"
    source = tmp_path / "source"
    source.mkdir()
    (source / "page.js").write_text("1")
    settings.STATICFILES_DIRS = [source]
    # The admin's files take seconds to compress, and prove nothing more.
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    # The real one takes half a second each time, on purpose.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    monkeypatch.delenv("ADMIN_PASSWORD", raising=False)


def prepare(exchange="sim"):
    out = io.StringIO()
    call_command("prepare", exchange=exchange, stdout=out)
    return out.getvalue()


def enabled():
    return set(WhitelistedSeries.objects.filter(enabled=True).values_list("series_id", flat=True))


def test_prepare_shows_the_admin_password_once(db):
    password = prepare().split("password ")[1].split()[0]
    assert authenticate(username="admin", password=password).is_superuser
    assert "password" not in prepare()


def test_prepare_takes_a_given_admin_password_and_does_not_show_it(db, monkeypatch):
    monkeypatch.setenv("ADMIN_PASSWORD", "chosen-by-me")
    assert "chosen-by-me" not in prepare()
    assert authenticate(username="admin", password="chosen-by-me")
    monkeypatch.setenv("ADMIN_PASSWORD", "chosen-later")
    assert "chosen-later" not in prepare()
    assert authenticate(username="admin", password="chosen-later")


def test_prepare_whitelists_the_demo_series_of_the_exchange(db):
    prepare("binance")
    assert enabled() == set(DEMO_SERIES["binance"])


def test_prepare_leaves_a_whitelist_of_the_exchange_alone(db):
    WhitelistedSeries.objects.create(series_id="sim:spot:SOL/USDT:1m")
    prepare()
    prepare()
    assert enabled() == {"sim:spot:SOL/USDT:1m"}


def test_prepare_follows_the_local_exchange_only_while_it_runs(db):
    prepare()
    prepare("binance")
    assert enabled() == set(DEMO_SERIES["binance"])
    prepare()
    assert enabled() == {*DEMO_SERIES["sim"], *DEMO_SERIES["binance"]}


def test_prepare_collects_static_files_when_they_changed(db, settings):
    assert "collecting" in prepare()
    assert (settings.STATIC_ROOT / "page.js").is_file()
    assert "collecting" not in prepare()
    settings.FRONTEND_DIST.mkdir()
    (settings.FRONTEND_DIST / "index.html").write_text("new")
    assert "collecting" in prepare()


def test_prepare_leaves_files_alone_that_are_being_served(db, settings, monkeypatch):
    source, collected = settings.STATICFILES_DIRS[0], settings.STATIC_ROOT
    for name in ("kept.js", "old.js"):
        (source / name).write_text("x" * 1000)
    prepare()
    before = {name: (collected / name).stat().st_ctime_ns for name in ("kept.js", "kept.js.gz")}
    (source / "old.js").unlink()
    settings.FRONTEND_DIST.mkdir()
    (settings.FRONTEND_DIST / "index.html").write_text("new")
    removed = []
    monkeypatch.setattr(Path, "unlink", lambda path, **_: removed.append(path.name))
    assert "collecting" in prepare()
    assert {name: (collected / name).stat().st_ctime_ns for name in before} == before
    assert {name for name in removed if "part" not in name} == {"old.js", "old.js.gz"}


@pytest.fixture
def whitelist_file(settings, tmp_path):
    path = tmp_path / "data" / "whitelist.json"
    settings.SWITCHES = replace(settings.SWITCHES, enable_pg_store=False, whitelist_path=str(path))
    return path


def test_prepare_without_database_writes_the_whitelist_to_a_file(whitelist_file):
    prepare()
    assert json.loads(whitelist_file.read_text())["series_ids"] == list(DEMO_SERIES["sim"])


def test_prepare_without_database_leaves_a_whitelist_of_the_exchange_alone(whitelist_file):
    whitelist_file.parent.mkdir()
    whitelist_file.write_text('["sim:spot:SOL/USDT:1m"]')
    prepare()
    assert json.loads(whitelist_file.read_text()) == ["sim:spot:SOL/USDT:1m"]
