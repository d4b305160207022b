"""manage.py backfill against a real local exchange and PostgreSQL."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import threading
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command

from lab.waiting import wait_until
from market import blocking
from market.domain.feed import HistoryPage, Hole, Missing
from market.domain.series import SeriesId
from market.ingest.coverage import repair_due
from market.ingest.gap_ledger import ledger
from market.ingest.gap_ranges import GapState
from market.local_exchange.generated import GeneratedCandles
from market.local_exchange.server import running_exchange
from market.management.commands import backfill as command
from market.models import GapRecord
from market.runtime import candle_store
from market.tests.builders import candle, candles, history_page

SERIES = SeriesId.parse("sim:spot:BTC/USDT:1m")
START = 1_700_000_040


def at(number):
    return START + number * 60


@pytest.fixture(scope="module")
def server():
    with running_exchange(GeneratedCandles(7)) as running:
        yield running


@pytest.fixture
def exchange(server, settings, transactional_db):
    settings.REDIS_URL = ""
    settings.SWITCHES = replace(settings.SWITCHES, sim_url=server.url, enable_ws_pubsub=False)
    yield server
    server.clear()


def run(first, last, series=SERIES):
    out = io.StringIO()
    call_command("backfill", str(series), f"--from={at(first)}", f"--to={at(last)}", stdout=out)
    return out.getvalue()


def test_backfill_stores_the_range_and_reports_it(exchange):
    report = run(0, 1_499)
    assert "1500 candles stored, 1500 in the store now, 0 missing" in report
    assert candle_store().count(SERIES, at(0), at(1_499)) == 1_500


def test_backfill_reads_only_what_is_missing(exchange):
    run(0, 9)
    answers = exchange.exchange.control.apis[0].counts
    before = answers[200]
    assert "0 candles stored, 10 in the store now" in run(0, 9)
    assert answers[200] == before
    assert "5 candles stored, 15 in the store now" in run(0, 14)


def test_backfill_reports_what_the_exchange_lacks(exchange):
    exchange.fault(kind="omit", candle_times=[at(3), at(4)], rest=True)
    assert "8 candles stored, 8 in the store now, 2 missing, in 1 gaps" in run(0, 9)


def test_backfill_retries_a_failing_exchange(exchange, monkeypatch):
    monkeypatch.setattr(command, "_backoff", lambda state: 0.05)
    exchange.fault(kind="rest_status", status=503, count=4)
    assert "10 candles stored" in run(0, 9)


def test_backfill_stops_retrying_with_advice(exchange, monkeypatch):
    monkeypatch.setattr(command, "_backoff", lambda state: 0.0)
    exchange.fault(kind="rest_status", status=503, duration_s=60)
    with pytest.raises(CommandError, match="exchange_unavailable: .*run it again") as ended:
        run(0, 9)
    assert ended.value.returncode == 69


def test_interrupted_backfill_keeps_what_it_has(exchange):
    exchange.fault(kind="delay", delay_ms=300, target="rest")

    def press():
        try:
            wait_until(lambda: blocking.call(candle_store().count, SERIES), 20, "a first page")
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    try:
        with pytest.raises(CommandError, match="interrupted") as ended:
            run(0, 99_999)
    finally:
        presser.join()
    assert ended.value.returncode == 130
    kept = candle_store().count(SERIES)
    assert 0 < kept < 100_000
    exchange.clear()
    assert f"{kept + 10} in the store now" in run(0, kept + 9)


@pytest.mark.parametrize(
    ("series", "words"),
    [
        ("nonsense", "series_id must be"),
        ("nowhere:spot:BTC/USDT:1m", "^unknown_exchange: unknown exchange"),
        ("sim:spot:NO/SUCH:1m", "^unknown_symbol: .*no spot market"),
    ],
)
def test_backfill_of_what_does_not_exist_is_refused(exchange, series, words):
    with pytest.raises(CommandError, match=words) as ended:
        call_command("backfill", series, "--from=2024-01-01", "--to=2024-01-02")
    assert "again" not in str(ended.value)


class PartlyServed:
    """A feed that serves nothing before a time, and one empty answer for what is left out."""

    def __init__(self, served_from, left_out=()):
        self.served_from = served_from
        self.left_out = left_out

    async def history(self, series, start, end):
        old = min(end, self.served_from - 60)
        if start <= old:
            hole = Hole(
                from_time=start, to_time=old, why=Missing.UNSERVED, detail="at most 720 candles"
            )
            yield HistoryPage(candles=[], asked=(start, old), holes=(hole,))
        for time in range(max(start, self.served_from), end + 1, 60):
            found = [] if time in self.left_out else candles(time)
            yield history_page(found, (time, time), series)

    async def close(self):
        pass


def test_backfill_of_what_is_too_old_ends_with_the_reason_and_the_ways_left(exchange, monkeypatch):
    monkeypatch.setattr(command, "open_feed", lambda *_: PartlyServed(at(4)))
    out = io.StringIO()
    with pytest.raises(CommandError) as ended:
        call_command("backfill", str(SERIES), f"--from={at(0)}", f"--to={at(9)}", stdout=out)
    assert str(ended.value) == (
        "unserved: 4 candles: at most 720 candles; use import_candles or backfill --from-trades"
    )
    assert ended.value.returncode == 1
    assert "6 candles stored, 6 in the store now, 4 missing" in out.getvalue()
    assert "  4 unserved" in out.getvalue()
    [entry] = ledger().entries(SERIES)
    assert (entry.from_time, entry.to_time, entry.state) == (at(0), at(3), GapState.UNSERVED)


def test_backfill_of_only_what_is_too_old_ends_with_the_reason(exchange, monkeypatch):
    monkeypatch.setattr(command, "open_feed", lambda *_: PartlyServed(at(99)))
    with pytest.raises(CommandError, match="^unserved: at most 720 candles"):
        run(0, 9)


def test_backfill_reports_what_was_not_answered_and_asks_for_it_again(exchange, monkeypatch):
    feed = PartlyServed(at(0), left_out=(at(4), at(5)))
    monkeypatch.setattr(command, "open_feed", lambda *_: feed)
    assert "  2 unanswered" in run(0, 9)
    feed.left_out = ()
    assert "2 candles stored, 10 in the store now, 0 missing" in run(0, 9)


def test_backfill_asks_for_no_quiet_minute_twice(exchange):
    exchange.fault(kind="omit", candle_times=[at(3), at(4)], rest=True)
    assert "  2 quiet" in run(0, 9)
    answers = exchange.exchange.control.apis[0].counts
    before = answers[200]
    assert "0 candles stored, 8 in the store now, 2 missing" in run(0, 9)
    assert answers[200] == before


def test_backfill_without_a_closed_candle_between_is_refused(exchange):
    with pytest.raises(CommandError, match="no closed candle"):
        run(5, 4)


def holes():
    """What the ledger has, by the numbers of the first and last missing candle."""
    return [
        ((entry.from_time - START) // 60, (entry.to_time - START) // 60, entry.state.value)
        for entry in ledger().entries(SERIES)
    ]


def test_every_hole_is_named_with_its_true_reason_and_maintenance_is_made_up_for(exchange):
    scope = {"symbol": "BTCUSDT", "interval": "1m"}
    exchange.fault(kind="quiet", span=[at(100), at(104) + 59], scope=scope)
    exchange.fault(kind="bad_rows", row="zeros", candle_times=[at(200), at(201)], scope=scope)
    exchange.fault(
        kind="unusable",
        answer="maintenance",
        span=[at(1_400), at(1_500)],
        duration_s=600,
        scope=scope,
    )
    run(0, 2_999)
    named = holes()
    assert [named[0], named[1]] == [(100, 104, "quiet"), (200, 201, "dropped")]
    assert [state for _, _, state in named[2:]] == ["unanswered"]
    assert ledger().entries(SERIES)[1].rows == 2
    exchange.clear()
    GapRecord.objects.update(next_attempt_at=datetime.now(UTC))
    assert asyncio.run(repair_due(stopping=lambda: False)) == 2
    assert holes() == [
        (first, last, state if state == "quiet" else "repaired") for first, last, state in named
    ]
    assert candle_store().count(SERIES, at(0), at(2_999)) == 3_000 - 5


class Trades:
    """The feed of an exchange that serves trades further back than candles."""

    def __init__(self, known, served):
        self.known, self.served = known, served
        self.is_closed = False

    async def now(self):
        return float(max(self.known) + 120)

    def trade_history(self):
        return self

    async def close(self):
        self.is_closed = True


@pytest.fixture
def traded(monkeypatch, transactional_db, settings):
    """Candles made of trades, all of them, and the newest ten that are served as candles."""
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    known = {at(number): candle(at(number)) for number in range(40) if number not in (5, 6)}
    served = {time: one for time, one in known.items() if time >= at(30)}

    def source(candles, why):
        async def history(series, start, end):
            found = [candles[time] for time in sorted(candles) if start <= time <= end]
            yield history_page(found, (start, end), why=why)

        return SimpleNamespace(history=history)

    feed = Trades(known, served)
    feed.history = lambda *span: source(feed.served, Missing.UNSERVED).history(*span)
    feed.trade_history = lambda: source(known, Missing.UNANSWERED)
    monkeypatch.setattr(command, "open_feed", lambda *_: feed)
    return feed


def run_from_trades(*options):
    out, error = io.StringIO(), io.StringIO()
    span = (f"--from={at(0)}", f"--to={at(30)}")
    arguments = ("backfill", str(SERIES), *span, "--from-trades", *options)
    call_command(*arguments, stdout=out, stderr=error)
    return out.getvalue(), error.getvalue()


def test_backfill_from_trades_reaches_back_further_than_the_candles(traded):
    with pytest.raises(CommandError, match="unserved"):
        run(0, 30)
    out, error = run_from_trades()
    assert "28 candles stored, 29 in the store now, 2 missing, in 1 gaps" in out
    assert "2 quiet" in out
    assert "candles made of trades compared with the exchange's: equal" in error
    assert candle_store().count(SERIES, at(0), at(30)) == 29


def test_backfill_from_trades_that_differ_reads_nothing(traded):
    traded.served[at(35)] = candle(at(35), volume=77.0)
    with pytest.raises(CommandError, match=r"1 differ \(volume 1\); nothing was read"):
        run_from_trades()
    assert candle_store().count(SERIES) == 0
    assert traded.is_closed
    out, error = run_from_trades("--allow-differences")
    assert "29 candles stored" in out and "1 differ" in error


def test_backfill_from_trades_is_refused_where_they_are_not_served(exchange):
    with pytest.raises(CommandError, match=r"trades_not_served: the trades of sim can't be read"):
        run_from_trades()
