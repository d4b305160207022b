"""series and gaps."""

from __future__ import annotations

import json

import pytest
from django.core.management import CommandError

from market.domain.feed import FeedError, UnknownSymbol
from market.domain.series import SeriesId
from market.exchanges.answers import RequestRefused
from market.ingest.gap_ledger import ledger
from market.ingest.gap_ranges import Evidence, GapState
from market.ingest.tests.gaps import record_gap
from market.management.arguments import time_argument
from market.pipeline import Pipeline
from market.tests.builders import MINUTE, candles, history_page

SERIES = str(MINUTE)
OTHER = SeriesId.parse("sim:spot:A/B:5m")


@pytest.fixture
def stored(empty_store):
    """A series with three gaps, one of them smaller than a candle, and one without."""
    pipeline = Pipeline(empty_store)
    pipeline.ingest(MINUTE, candles(0, 60, 180, 240, 600, 661))
    pipeline.ingest(OTHER, candles(300, 600))
    return empty_store


def test_series_are_listed(run, stored):
    header, first, second = run("series").splitlines()
    assert header.split() == ["series", "first", "head", "lag", "s", "candles", "gaps"]
    assert first.startswith(f"{SERIES}  1970-01-01 00:00:00  1970-01-01 00:11:01  ")
    assert first.split()[-2:] == ["6", "3"]
    assert second.split()[-2:] == ["2", "0"]


def test_series_are_listed_as_json(run, stored):
    first, second = json.loads(run("series", "--json"))
    lag = first.pop("lag_seconds")
    assert lag > 1_700_000_000
    assert first == {
        "series_id": SERIES,
        "first_time": 0,
        "head_time": 661,
        "candle_count": 6,
        "gap_count": 3,
    }
    assert second["series_id"] == str(OTHER)


def test_empty_store_is_reported(run):
    assert "no candles are stored" in run("series")
    assert json.loads(run("series", "--json")) == []


def test_gaps_are_listed_with_totals(run, stored):
    assert run("gaps", SERIES).splitlines() == [
        "1970-01-01 00:02:00 .. 1970-01-01 00:02:00  1",
        "1970-01-01 00:05:00 .. 1970-01-01 00:09:00  5",
        f"{SERIES}: 2 gaps, 6 candles missing",
    ]


def test_gaps_keep_to_their_range_and_come_as_json(run, stored):
    found = json.loads(run("gaps", SERIES, "--json", "--from", "180"))
    assert found == [{"from_time": 300, "to_time": 540, "missing_candles": 5, "parts": []}]


def test_gaps_are_listed_with_what_is_known_of_why(run, stored):
    seen = Evidence(asked=(0, 600), bars=(60, 180))
    record_gap(MINUTE, 120, 120, GapState.QUIET, reason="nothing was traded", evidence=seen)
    record_gap(MINUTE, 300, 420, GapState.UNANSWERED, reason="not in the answer", attempts=1)
    record_gap(MINUTE, 480, 540, GapState.DROPPED, reason="low above open", rows=2)
    record_gap(MINUTE, 720, 780, GapState.UNSERVED, reason="at most 720 candles")
    first, second, unanswered, dropped, outside, total = run("gaps", SERIES).splitlines()
    assert first == (
        "1970-01-01 00:02:00 .. 1970-01-01 00:02:00  1  quiet: nothing was traded; "
        "candles at 1970-01-01 00:01:00 and 1970-01-01 00:03:00 in one answer"
    )
    assert second == "1970-01-01 00:05:00 .. 1970-01-01 00:09:00  5"
    assert "00:07:00  3  unanswered: not in the answer; attempt 2 at " in unanswered
    assert "00:09:00  2  dropped: low above open (2 rows); attempt 1 at " in dropped
    assert outside.startswith("not stored yet: 1970-01-01 00:12:00 .. 1970-01-01 00:13:00  2  ")
    assert outside.endswith(
        "unserved: at most 720 candles; use import_candles or backfill --from-trades"
    )
    assert total == (f"{SERIES}: 2 gaps, 6 candles missing (1 quiet, 3 unanswered, 2 dropped)")
    (parts,) = [gap["parts"] for gap in json.loads(run("gaps", SERIES, "--json"))][:1]
    assert (parts[0]["state"], parts[0]["asked"], parts[0]["bars"]) == (
        "quiet",
        [0, 600],
        [60, 180],
    )


def test_gap_that_was_imported_is_repaired_in_the_ledger(run, stored):
    record_gap(MINUTE, 300, 540, GapState.UNSERVED)
    Pipeline(stored).ingest(MINUTE, candles(300, 360, 420))
    run("gaps", SERIES)
    assert [(e.from_time, e.to_time, e.state) for e in ledger().entries(MINUTE)] == [
        (300, 420, GapState.REPAIRED),
        (480, 540, GapState.UNSERVED),
    ]


def test_import_repairs_the_gaps_that_it_fills(run, stored, tmp_path):
    record_gap(MINUTE, 300, 540, GapState.UNSERVED)
    file = tmp_path / "candles.csv"
    rows = "".join(f"{time},1,2,0.5,1.5,10\n" for time in (480, 540))
    file.write_text(f"candle_time,open,high,low,close,volume\n{rows}")
    run("import_candles", str(file), SERIES)
    assert [(e.from_time, e.to_time, e.state) for e in ledger().entries(MINUTE)] == [
        (300, 420, GapState.UNSERVED),
        (480, 540, GapState.REPAIRED),
    ]


class Exchange:
    """A feed that has every candle but one, or none at all."""

    def __init__(self, failure=None):
        self.failure = failure
        self.asked = []
        self.closed = False

    async def history(self, series, start, end):
        self.asked.append((start, end))
        if self.failure:
            raise self.failure
        times = [time for time in range(start, end + 1, 60) if time != 420]
        yield history_page(candles(*times), (start, end))

    async def close(self):
        self.closed = True


@pytest.fixture
def exchange(monkeypatch):
    made = Exchange()
    monkeypatch.setattr("market.management.commands.gaps.open_feed", lambda *_: made)
    return made


def test_repair_fills_what_the_exchange_has(run, stored, exchange):
    run("gaps", SERIES, "--repair")
    assert exchange.closed
    # Close to each other, so one request reads both, with the candle on each side.
    assert exchange.asked == [(60, 600)]
    assert [gap.prev_time for gap in stored.gaps(MINUTE)] == [360, 600]
    last = run("gaps", SERIES).splitlines()[-1]
    assert last == f"{SERIES}: 1 gaps, 1 candles missing (1 quiet)"


def test_failed_repair_reports_the_reason(run, stored, exchange):
    exchange.failure = FeedError("unreachable")
    with pytest.raises(CommandError, match="exchange_unavailable: unreachable; run it") as ended:
        run("gaps", SERIES, "--repair")
    assert ended.value.returncode == 69
    assert exchange.closed
    assert len(stored.gaps(MINUTE)) == 3


@pytest.mark.parametrize(
    ("failure", "code", "state"),
    [
        (UnknownSymbol("sim has no A/B"), "unknown_symbol", GapState.UNSERVED),
        (RequestRefused("sim has no A/B"), "request_refused", GapState.OPEN),
    ],
)
def test_repair_that_is_refused_advises_no_repetition(run, stored, exchange, failure, code, state):
    exchange.failure = failure
    with pytest.raises(CommandError, match=f"^{code}: sim has no") as ended:
        run("gaps", SERIES, "--repair")
    assert ended.value.returncode == 1 and "again" not in str(ended.value)
    assert {entry.state for entry in ledger().entries(MINUTE)} == {state}


@pytest.mark.parametrize("text", ["x", "-1", "99999999999999", "2020-13-01"])
def test_invalid_time_is_refused(run, text):
    with pytest.raises(CommandError):
        run("gaps", SERIES, "--from", text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1700000000", 1_700_000_000),
        ("2023-11-14", 1_699_920_000),
        ("2023-11-14T22:13:20", 1_700_000_000),
        ("2023-11-15T00:13:20+02:00", 1_700_000_000),
    ],
)
def test_time_is_unix_seconds_or_an_iso_time(text, seconds):
    assert time_argument(text) == seconds
