"""audit: what it prints, and how it ends."""

from __future__ import annotations

import io
import json
import time
from dataclasses import replace

import pytest
from django.core.management import CommandError, call_command

from market.domain.feed import FeedError, FeedRefused, Missing
from market.domain.timeframe import Timeframe
from market.ingest.derive import brought_up
from market.management.commands import audit as command_module
from market.pipeline import Pipeline
from market.runtime import candle_store
from market.tests.builders import MINUTE, candle, history_page

SERIES = str(MINUTE)
STEP = 60


class Exchange:
    """A feed whose truth is `known`; it answers for everything at once, or fails."""

    def __init__(self):
        self.known = {}
        self.failure = None
        self.why = Missing.UNANSWERED
        self.asked = []
        self.closed = False

    async def history(self, series, start, end):
        self.asked.append((start, end))
        if self.failure:
            raise self.failure
        found = [self.known[at] for at in sorted(self.known) if start <= at <= end]
        yield history_page(found, (start, end), why=self.why)

    async def close(self):
        self.closed = True


@pytest.fixture
def first():
    """An open time so long ago that its neighbours have settled."""
    return int(time.time()) // STEP * STEP - 20 * STEP


@pytest.fixture
def exchange(monkeypatch, empty_store, first):
    made = Exchange()
    made.known = {at: candle(at) for at in range(first, first + 10 * STEP, STEP)}
    monkeypatch.setattr("market.management.commands.audit.open_feed", lambda *_: made)
    Pipeline(empty_store).ingest(MINUTE, made.known.values())
    return made


@pytest.fixture
def audited(exchange, first):
    """Run the command; its output, its exit status, and the line that it ended with."""

    def command(*options, series=SERIES):
        out = io.StringIO()
        span = (f"--from={first}", f"--to={first + 9 * STEP}")
        try:
            call_command("audit", series, *span, *options, stdout=out, stderr=io.StringIO())
        except CommandError as error:
            return out.getvalue(), error.returncode, str(error)
        return out.getvalue(), 0, ""

    return command


def test_equal_series_ends_with_status_0(audited, exchange):
    counts = "10 compared, 10 equal, 0 missing, 0 differing, 0 extra, 0 repaired"
    assert audited() == (f"{SERIES}: {counts}\n", 0, "")
    assert exchange.closed


@pytest.fixture
def differing(exchange, first):
    """A candle with another close and volume, an extra one, and a missing one."""
    exchange.known[first + 60] = candle(first + 60, close=1.25, volume=11.0)
    del exchange.known[first + 120]
    exchange.known[first - 60] = candle(first - 60)


def test_each_difference_is_listed_and_the_status_is_1(audited, exchange, differing, first):
    out, status, line = audited(f"--from={first - 60}")
    assert [text.partition("  ")[2] for text in out.splitlines()[:3]] == [
        "missing in the store",
        "close 1.5 stored, 1.25 on the exchange, volume 10.0 stored, 11.0 on the exchange",
        "extra: the exchange has none",
    ]
    assert out.splitlines()[3] == (
        f"{SERIES}: 11 compared, 8 equal, 1 missing, 1 differing (close 1, volume 1), 1 extra, "
        "0 repaired"
    )
    assert (status, line) == (1, f"{SERIES}: 3 candles differ from the exchange's")


def test_repair_stores_the_exchange_s_candles(audited, exchange, first):
    exchange.known[first + 60] = candle(first + 60, close=1.25, volume=11.0)
    out, status, _ = audited("--repair")
    assert (status, "1 repaired" in out) == (0, True)
    assert candle_store().read_after(MINUTE, -1, 100) == list(exchange.known.values())
    assert audited()[1] == 0


def test_many_differences_are_counted_and_some_are_listed(audited, exchange, monkeypatch):
    monkeypatch.setattr(command_module, "LISTED", 2)
    exchange.known = {at: candle(at, close=1.25) for at in exchange.known}
    lines = audited()[0].splitlines()
    assert (len(lines), lines[2]) == (4, "… and 8 more")


def test_result_as_json(audited, exchange, differing, first):
    found = json.loads(audited("--json")[0])
    differences = found.pop("differences")
    assert found == {
        "series_id": SERIES,
        "from_time": first,
        "to_time": first + 9 * STEP,
        "compared": 10,
        "equal": 8,
        "missing": 0,
        "differing": 1,
        "differing_fields": {"close": 1, "volume": 1},
        "extra": 1,
        "repaired": 0,
        "not_compared": {},
    }
    assert differences[1] == {
        "candle_time": first + 120,
        "stored": candle(first + 120).as_object(),
        "exchange": None,
    }


def test_what_the_exchange_did_not_answer_for_is_status_2(audited, exchange, first):
    del exchange.known[first]
    out, status, _ = audited()
    assert status == 2
    assert "1 stored candles were not compared: not answered by the exchange" in out


def test_what_the_exchange_serves_no_more_is_named_and_no_failure(audited, exchange, first):
    del exchange.known[first]
    exchange.why = Missing.UNSERVED
    out, status, _ = audited()
    assert status == 0
    assert "1 stored candles were not compared: older than the exchange serves" in out


@pytest.mark.parametrize(
    ("failure", "status", "text"),
    [
        (FeedError("gone"), 69, "exchange_unavailable: gone; run it again to resume"),
        (FeedRefused("gone"), 1, "not_listed: gone"),
    ],
)
def test_failure_of_the_exchange_names_the_reason(audited, exchange, failure, status, text):
    exchange.failure = failure
    assert audited() == ("", status, text)
    assert exchange.closed


def test_newest_candles_are_left_out_until_they_have_settled(run, exchange, first):
    run("audit", SERIES, "--days", "1")
    [(start, end)] = exchange.asked
    now = time.time()
    assert now - 86_400 - STEP <= start <= now - 86_400 + STEP
    assert end <= now - (command_module.UNSETTLED + 1) * STEP


@pytest.mark.parametrize("days", ["0", "-1", "nan", "soon", "1e9"])
def test_impossible_number_of_days_is_refused(run, days):
    with pytest.raises(CommandError):
        run("audit", SERIES, "--days", days)


def test_audit_of_a_derived_series_is_that_of_its_base(audited, exchange, settings):
    settings.SWITCHES = replace(settings.SWITCHES, enable_derived_timeframes=True)
    derived = MINUTE.with_timeframe(Timeframe.parse("5m"))
    assert audited(series=str(derived))[0].startswith(f"{MINUTE}: 10 compared")


def test_repair_reaches_the_derived_candles(audited, exchange, settings):
    settings.SWITCHES = replace(settings.SWITCHES, enable_derived_timeframes=True)
    derived = MINUTE.with_timeframe(Timeframe.parse("5m"))
    brought_up([derived])
    bucket = candle_store().read_after(derived, -1, 10)[0]
    last = bucket.candle_time + 4 * STEP
    exchange.known[last] = candle(last, close=1.75, volume=11.0)
    assert audited("--repair")[1] == 0
    [corrected] = candle_store().read_range(
        derived, bucket.candle_time, bucket.candle_time, limit=2
    )
    assert corrected == bucket._replace(close=1.75, volume=bucket.volume + 1.0)
