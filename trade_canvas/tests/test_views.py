from __future__ import annotations

import base64
import gzip
import hashlib
import re

import pytest
from django.test import Client

from trade_canvas import __version__, readiness


def test_page_that_is_not_built_shows_how_to_build_it(client, settings, tmp_path):
    settings.FRONTEND_DIST = tmp_path
    answer = client.get("/")
    assert answer.status_code == 503
    assert "make run" in answer.content.decode()


def test_page_is_not_cached(client, settings, tmp_path):
    settings.FRONTEND_DIST = tmp_path
    (tmp_path / "index.html").write_text("<!doctype html><title>page</title>")
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.content.startswith(b"<!doctype html>")
    assert answer["Content-Type"] == "text/html; charset=utf-8"
    assert "no-cache" in answer["Cache-Control"]


def test_link_to_another_name_of_a_series_leads_to_the_series(client, settings, tmp_path):
    settings.FRONTEND_DIST = tmp_path
    (tmp_path / "index.html").write_text("<!doctype html>")
    answer = client.get("/?series=binance:futures:BTC/USDT:USDT:60m&x=1")
    assert answer.status_code == 302
    assert answer["Location"] == "/?series=binance:futures:BTC/USDT:1h&x=1"
    assert client.get(answer["Location"]).status_code == 200
    assert client.get("/?series=nonsense").status_code == 200


def test_page_may_run_its_own_inline_script_and_no_other(client, settings, tmp_path):
    settings.FRONTEND_DIST = tmp_path
    (tmp_path / "index.html").write_text("<script>early()</script><script src='/x.js'></script>")
    policy = client.get("/")["Content-Security-Policy"]
    (sources,) = re.findall("script-src ([^;]*)", policy)
    digest = base64.b64encode(hashlib.sha256(b"early()").digest()).decode()
    assert sources.split() == ["'self'", f"'sha256-{digest}'"]


def test_page_is_compressed(client, settings, tmp_path):
    settings.FRONTEND_DIST = tmp_path
    text = "<!doctype html><title>page</title>" + "<p>text</p>" * 100
    (tmp_path / "index.html").write_text(text)
    answer = client.get("/", headers={"Accept-Encoding": "gzip"})
    assert answer["Content-Encoding"] == "gzip"
    assert gzip.decompress(answer.content).decode() == text


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz"])
def test_views_refuse_other_methods(client, path):
    assert client.post(path).status_code == 405


def test_healthz_needs_no_database(client):
    # Without the db fixture any query would raise.
    assert client.get("/healthz").json() == {"status": "ok", "version": __version__}


def test_readyz_hides_database_messages(client, monkeypatch):
    def fail():
        raise ConnectionError("password of somebody at somewhere")

    monkeypatch.setitem(readiness.ATTEMPTS, "database", fail)
    monkeypatch.setitem(readiness.ATTEMPTS, "migrations", lambda: None)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "unavailable",
        "checks": {
            "database": "failed: ConnectionError",
            "migrations": "ok",
            "bus": "ok",
            "queue": "ok",
        },
    }


@pytest.mark.parametrize("path", ["/", "/api/docs/", "/admin/login/"])
def test_pages_forbid_foreign_content(client, path):
    answer = client.get(path)
    policy = answer["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "camera=()" in answer["Permissions-Policy"]
    assert (answer["X-Frame-Options"], answer["X-Content-Type-Options"]) == ("DENY", "nosniff")
    assert answer["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize("path", ["/healthz", "/api/market/no_such", "/static/plain.js"])
def test_whatever_is_no_page_may_load_nothing(static_file, path):
    answer = static_file.get(path)
    directives = set(answer["Content-Security-Policy"].split("; "))
    assert directives == {"default-src 'none'", "frame-ancestors 'none'"}
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "Permissions-Policy" not in answer


@pytest.fixture
def static_file(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "index-DeadBee1.js").write_text("console.log(1)")
    (tmp_path / "plain.js").write_text("console.log(2)")
    # whitenoise reads its folder once, when the middleware is made.
    return Client()


def test_hashed_asset_is_cached_forever(static_file):
    answer = static_file.get("/static/assets/index-DeadBee1.js")
    assert answer.content == b"console.log(1)"
    assert "immutable" in answer["Cache-Control"]
    assert answer["Content-Type"].startswith("text/javascript")


def test_other_static_file_is_not_cached_forever(static_file):
    answer = static_file.get("/static/plain.js")
    assert answer.content == b"console.log(2)"
    assert "immutable" not in answer["Cache-Control"]


def test_unchanged_static_file_is_answered_304(static_file):
    known = static_file.get("/static/plain.js")["Last-Modified"]
    answer = static_file.get("/static/plain.js", headers={"If-Modified-Since": known})
    assert (answer.status_code, answer.content) == (304, b"")


def test_range_of_a_static_file_is_answered_206(static_file):
    answer = static_file.get("/static/plain.js", headers={"Range": "bytes=0-6"})
    assert (answer.status_code, answer.content) == (206, b"console")


def test_missing_static_file_is_answered_404(static_file):
    assert static_file.get("/static/nothing.js").status_code == 404
