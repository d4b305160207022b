"""Ingest by real processes: beat, workers and the local exchange, and what survives their end."""

from __future__ import annotations

import itertools
import json

import pytest

from lab.http import get
from lab.waiting import wait_until
from market.domain.lease_store import Admission, Group
from market.domain.series import SeriesId
from market.ingest.lease_store_valkey import ValkeyLeaseStore, connect

BTC = SeriesId.parse("sim:spot:BTC/USDT:1s")
ETH = SeriesId.parse("sim:spot:ETH/USDT:1s")
GROUP = Group.of(BTC)
SWITCHES = {
    "TRADE_CANVAS_ENABLE_WHITELIST_INGEST": "1",
    "TRADE_CANVAS_ENABLE_ONDEMAND_INGEST": "1",
    "TRADE_CANVAS_RECONCILE_INTERVAL_S": "0.3",
    "TRADE_CANVAS_ONDEMAND_IDLE_TTL_S": "2",
    "TRADE_CANVAS_LEASE_TTL_S": "3",
    "TRADE_CANVAS_STARTUP_KLINE_SYNC_TARGET_CANDLES": "100",
}


@pytest.fixture
def ingest(stack):
    """A stack with an exchange and a beat, where BTC is whitelisted."""
    stack.local_exchange()
    stack.environment.update(SWITCHES)
    stack.sql("INSERT INTO whitelist (series_id, enabled) VALUES (%s, true)", str(BTC))
    stack.beat()
    return stack


@pytest.fixture
def lease_store(stack):
    client = connect(stack.valkey.url)
    yield ValkeyLeaseStore(client, prefix=lambda: stack.prefix)
    client.close()
    client.connection_pool.disconnect()


def times(stack, series):
    rows = stack.sql(
        "SELECT candle_time FROM candles JOIN series ON id = series_id"
        " WHERE name = %s ORDER BY candle_time",
        str(series),
    )
    return [time for (time,) in rows]


def flows(stack, series, more=2):
    """Wait until `more` candles have come, and return all times."""
    before = len(times(stack, series))
    wait_until(lambda: len(times(stack, series)) >= before + more, 15, f"candles of {series}")
    return times(stack, series)


def assert_without_hole(found):
    assert all(later - earlier == 1 for earlier, later in itertools.pairwise(found))


def state_of(lease_store, series):
    report = lease_store.reports([series]).get(series)
    return report.state if report else "not followed"


def fence_of(stack, series):
    ((fence,),) = stack.sql("SELECT fence FROM series WHERE name = %s", str(series))
    return fence


def test_series_are_followed_while_pinned_or_leased_and_handed_over_at_a_stop(ingest, lease_store):
    # Two beats do what one does.
    another = ingest.beat()
    # Also a worker that gets no processor for seconds keeps what it follows: each is followed once.
    first = ingest.worker(LOG_FORMAT="json", TRADE_CANVAS_LEASE_TTL_S="60")
    flows(ingest, BTC, more=5)
    fence = fence_of(ingest, BTC)
    wait_until(lambda: state_of(lease_store, BTC) == "running", 10, "BTC to be followed")
    assert lease_store.lease(ETH, "web", ttl=600, admission=Admission(idle_ttl=2))
    wait_until(lambda: state_of(lease_store, ETH) == "running", 10, "ETH to be followed")
    flows(ingest, ETH)
    lease_store.release(ETH, "web")
    wait_until(lambda: state_of(lease_store, ETH) == "not followed", 10, "ETH to be let go")
    # What was under way may still land.
    flows(ingest, BTC, more=1)
    let_go_at = times(ingest, ETH)
    flows(ingest, BTC)
    assert times(ingest, ETH) == let_go_at
    assert first.terminate() == another.terminate() == 0
    assert lease_store.owned_groups([GROUP]) == set()
    logged = [json.loads(line) for line in first.output().splitlines() if line.startswith("{")]
    followed = [each for each in logged if "following with fence" in each["message"]]
    assert [each["logger"] for each in followed] == ["market.ingest.follow_job"] * 2
    assert followed[0]["message"].endswith(f"following with fence {fence}")
    assert all(each["request_id"] for each in followed)
    ingest.worker()
    assert_without_hole(flows(ingest, BTC))


@pytest.mark.prove
def test_group_of_a_killed_worker_is_taken_over_without_a_hole(ingest):
    first = ingest.worker()
    flows(ingest, BTC)
    fence = fence_of(ingest, BTC)
    ingest.worker()
    first.kill()
    wait_until(lambda: fence_of(ingest, BTC) > fence, 15, "the other worker to take over")
    assert_without_hole(flows(ingest, BTC))


@pytest.mark.prove
def test_health_shows_each_kind_of_backfill(ingest):
    """The start-up sync, the repair that beat asks for, and the newest candles of a page."""
    ingest.environment.update(
        TRADE_CANVAS_ENABLE_STARTUP_KLINE_SYNC="1",
        TRADE_CANVAS_ENABLE_CCXT_BACKFILL="1",
        TRADE_CANVAS_ENABLE_MARKET_AUTO_TAIL_BACKFILL="1",
        TRADE_CANVAS_ENABLE_KLINE_HEALTH_V2="1",
    )
    web, _ = ingest.web(), ingest.worker()

    def ended(reason):
        health = get(f"{web.url}/api/market/health?series_id={BTC}")[1]["backfill"]
        return health["reason"] == reason and health["state"] == "succeeded" and health

    found = wait_until(lambda: ended("startup_sync"), 15, "the start-up sync")
    assert (found["note"], found["error"]) == ("startup_sync_done", None)
    assert found["started_at"] <= found["updated_at"]
    held = times(ingest, BTC)
    lost = held[len(held) // 2 : len(held) // 2 + 10]
    ingest.sql("DELETE FROM candles WHERE candle_time = ANY(%s)", lost)
    ingest.sql(
        "INSERT INTO gaps"
        " (series_id, from_time, to_time, reason, state, attempts, detected_at, updated_at)"
        " SELECT id, %s, %s, 'seen', 'open', 0, now(), now() FROM series WHERE name = %s",
        *(lost[0], lost[-1], str(BTC)),
    )
    found = wait_until(lambda: ended("gap_repair"), 45, "the repair of the gap")
    assert found["note"] == "gap_repair_done"
    assert set(lost) <= set(times(ingest, BTC))
    query = f"series_id={BTC}&limit=500"
    assert get(f"{web.url}/api/market/candles?{query}")[0] == 200
    found = wait_until(lambda: ended("tail_coverage"), 15, "the newest candles")
    assert found["note"] == "tail_coverage_done"
    wait_until(lambda: len(times(ingest, BTC)) >= 500, 15, "candles of a whole page")
