"""Connections to PostgreSQL: a few a process, kept, and a plain word when there is none."""

from __future__ import annotations

import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.database import run_sql, server_url
from lab.http import get, post
from lab.waiting import patience, wait_until
from tests.clients import head_of

SERIES = "sim:futures:BTC/USDT:1s"
WEB = {"TRADE_CANVAS_BLOCKING_WORKERS": "4", "TRADE_CANVAS_REQUEST_WORKERS": "3"}
WEB_MOST = 4 + 3 + 1  # One for the heads that known reads look up.
WORKER = {"TRADE_CANVAS_BLOCKING_WORKERS": "2", "TRADE_CANVAS_RECONCILE_INTERVAL_S": "0.2"}
WORKER_MOST = 2
SAMPLES = 25
END_ALL = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
BUSY = "SELECT application_name, pid FROM pg_stat_activity WHERE datname = %s"


class Sampler:
    """Which server processes worked for each of our programs."""

    def __init__(self, stack):
        self.server = server_url(stack.database_url)
        self.database = stack.database_url.rpartition("/")[2]
        self.pids = {"trade_canvas web": set(), "trade_canvas worker": set()}
        self.most = dict.fromkeys(self.pids, 0)

    def look(self):
        rows = run_sql(self.server, BUSY, self.database)
        for program, seen in self.pids.items():
            now = {pid for name, pid in rows if name == program}
            self.most[program] = max(self.most[program], len(now))
            seen |= now


def open_admin(web):
    """A session that is not there: Django looks it up on the request's own thread."""
    request = urllib.request.Request(f"{web.url}/admin/login/", headers={"Cookie": "sessionid=x"})
    with urllib.request.urlopen(request, timeout=patience(30)) as answer:
        assert answer.status == 200


def read(web, number):
    address = f"{web.url}/api/market/candles?series_id={SERIES}&limit={1 + number % 50}"
    assert get(address, 30.0)[0] == 200


def ask_for_ever(web, number, until):
    while time.monotonic() < until:
        open_admin(web) if number % 2 else read(web, number)


@pytest.fixture
def loaded(stack):
    stack.local_exchange()
    stack.sql("INSERT INTO whitelist (series_id, enabled) VALUES (%s, true)", SERIES)
    ingest = {"TRADE_CANVAS_ENABLE_WHITELIST_INGEST": "1"}
    web = stack.web(**WEB)
    stack.worker(**WORKER, **ingest)
    stack.beat(**WORKER, **ingest)
    wait_until(lambda: head_of(web, SERIES), 30, "a first candle")
    return web


def test_every_process_keeps_to_a_few_connections(stack, loaded):
    sampler = Sampler(stack)
    with ThreadPoolExecutor(24) as clients:
        until = time.monotonic() + 4
        asking = [clients.submit(ask_for_ever, loaded, number, until) for number in range(24)]
        for _ in range(SAMPLES):
            sampler.look()
        for each in asking:
            each.result(patience(60))
    assert 0 < sampler.most["trade_canvas web"] <= WEB_MOST
    assert 0 < sampler.most["trade_canvas worker"] <= WORKER_MOST
    # The same ones all the time: as many were made as are there.
    assert len(sampler.pids["trade_canvas web"]) <= WEB_MOST
    assert len(sampler.pids["trade_canvas worker"]) <= WORKER_MOST


def test_database_that_is_away_is_said_so_until_it_is_back(stack):
    web = stack.web()
    candle = {"candle_time": 60, "open": 1, "high": 2, "low": 1, "close": 2, "volume": 1}
    body = {"series_id": SERIES, "candle": candle}
    page = f"{web.url}/api/market/candles?series_id={SERIES}&limit=1"
    closed = f"{web.url}/api/market/ingest/candle_closed"
    assert post(closed, body)[0] == 200
    server, name = server_url(stack.database_url), stack.database_url.rpartition("/")[2]
    run_sql(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    run_sql(server, END_ALL, name)
    refused = (503, "store_unavailable")
    assert code(get(page)) == refused
    assert code(post(closed, body)) == refused
    run_sql(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert get(page)[0] == 200
    assert post(closed, body)[0] == 200


def code(answer):
    status, body = answer
    return status, body and body["code"]
