from __future__ import annotations

import pytest


def test_page_that_is_not_built_says_what_to_do(client, settings, tmp_path):
    settings.FRONTEND_DIST = tmp_path
    answer = client.get("/")
    assert answer.status_code == 503
    assert "make run" in answer.content.decode()


def test_page_is_asked_for_anew_each_time(client, settings, tmp_path):
    settings.FRONTEND_DIST = tmp_path
    (tmp_path / "index.html").write_text("<!doctype html><title>page</title>")
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.content.startswith(b"<!doctype html>")
    assert answer["Content-Type"] == "text/html; charset=utf-8"
    assert "no-cache" in answer["Cache-Control"]


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz"])
def test_views_refuse_to_be_written_to(client, path):
    assert client.post(path).status_code == 405


def test_healthz_needs_no_database(client):
    # Without the db fixture any query would raise.
    assert client.get("/healthz").json() == {"status": "ok"}


def test_readyz_hides_what_the_database_says(client, monkeypatch):
    def fail():
        raise ConnectionError("password of somebody at somewhere")

    monkeypatch.setattr("trade_canvas.views._check_database", fail)
    monkeypatch.setattr("trade_canvas.views._check_migrations", lambda: None)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "unavailable",
        "checks": {"database": "failed: ConnectionError", "migrations": "ok", "bus": "ok"},
    }


@pytest.mark.parametrize("path", ["/", "/healthz"])
def test_answers_forbid_foreign_content(client, path):
    policy = client.get(path)["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-eval" not in policy
