"""The processes of an installation, each started for real."""

from __future__ import annotations

import urllib.request

import pytest

from lab.http import get, post
from lab.program import manage
from lab.waiting import patience, wait_until
from trade_canvas import __version__

POSTED = "test:spot:A/B:1m"


@pytest.mark.parametrize("server", ["uvicorn", "daphne"])
def test_web_serves_and_ends_with_status_0_on_sigterm(session_stack, server):
    web = session_stack.web(server=server)
    assert get(f"{web.url}/healthz") == (200, {"status": "ok", "version": __version__})
    status, body = get(f"{web.url}/readyz")
    assert status == 200
    assert body == {
        "status": "ready",
        "checks": {"database": "ok", "migrations": "ok", "bus": "ok", "queue": "ok"},
    }
    assert web.terminate() == 0


def test_web_on_a_taken_port_fails_with_a_message(session_stack, shared_web):
    port = shared_web.url.rsplit(":", 1)[1]
    for server in ("uvicorn", "daphne"):
        command = manage("web", "--port", port, "--server", server)
        second = session_stack.start("second", command)
        assert second.wait(30) != 0
        assert "can't listen" in second.output() or "in use" in second.output()


def unready(web, *parts):
    """The body of /readyz once these parts have failed: each outcome is kept for a second."""
    status, body = get(f"{web.url}/readyz")
    failed = {name for name, found in body["checks"].items() if found.startswith("failed")}
    return (status, body) if failed >= set(parts) else None


def test_readyz_names_what_is_down_and_healthz_stays(stack):
    web = stack.web()
    stack.valkey.stop()
    status, body = wait_until(lambda: unready(web, "bus", "queue"), what="it to be unready")
    assert (status, body["status"]) == (503, "unavailable")
    assert body["checks"]["database"] == "ok"
    assert get(f"{web.url}/healthz")[0] == 200
    stack.valkey.start()
    web.wait_ready()


def test_readyz_says_off_for_what_is_switched_off(one_process):
    assert get(f"{one_process.url}/readyz")[1]["checks"] == {
        "database": "off",
        "migrations": "off",
        "bus": "off",
        "queue": "off",
    }


def test_answers_carry_security_headers(shared_web):
    with urllib.request.urlopen(f"{shared_web.url}/healthz", timeout=patience(10)) as response:
        headers = response.headers
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["X-Frame-Options"] == "DENY"


def test_ingest_over_http_is_stored(session_stack, shared_web):
    candle = {"candle_time": 60, "open": 1, "high": 2, "low": 1, "close": 2, "volume": 1}
    body = {"series_id": POSTED, "candle": candle}
    status, answer = post(f"{shared_web.url}/api/market/ingest/candle_closed", body)
    assert status == 200, answer
    assert session_stack.stored(POSTED, 0, 1000) == [candle]
