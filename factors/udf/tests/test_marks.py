"""Marks: the facts of the ledger at their candles, gaps at the time scale, both bounded."""

from __future__ import annotations

from collections import Counter

import pytest

from factors import runtime as factors
from factors.domain.tests.recordings import flat
from factors.domain.values import Event
from factors.udf import marks as marking
from factors.udf.marks import MOST_AT_A_BAR, MOST_MARKS, marked
from market import blocking, runtime
from market.api.tests.asking import store
from market.domain.series import SeriesId
from market.pipeline import Pipeline

SERIES = SeriesId.parse("binance:futures:BTC/USDT:1m")
WAVES = flat(*[100.0 + abs(each % 120 - 60) * (1 + each // 120) for each in range(600)])
END = WAVES[-1].candle_time

pytestmark = pytest.mark.usefixtures("either_store", "udf")


@pytest.fixture
def ask(api):
    def ask_it(start=0, end=END, *, path="marks"):
        query = {"symbol": "binance:futures:BTC/USDT", "resolution": "1", "from": start, "to": end}
        response = api.get(f"/udf/{path}", **query)
        assert response.status_code == 200, response.content
        return response.json()

    return ask_it


def ingest(candles, pipeline=None):
    blocking.call((pipeline or runtime.pipeline()).ingest, SERIES, candles)


def events(start=0, end=END):
    found = blocking.call(factors.factor_ledger().events, SERIES, start, end)
    return [each for each in found if not each.kind.endswith((".minor", ".snapshot"))]


def test_marks_are_the_facts_at_their_candles(ask):
    ingest(WAVES)
    expected = Counter((each.candle_time, each.factor) for each in events())
    found = ask()
    assert len(expected) > 5
    assert Counter((each["time"], each["id"].split(":")[0]) for each in found) == expected
    assert len({each["id"] for each in found}) == len(found)
    pens = [each for each in found if each["id"].startswith("pen:")]
    assert {(each["label"], each["color"]) for each in pens} == {("P", marking.INKS["text"])}
    assert {each["text"] for each in pens} <= {"Pen: Confirmed (up)", "Pen: Confirmed (down)"}
    assert [each["time"] for each in found] == sorted(each["time"] for each in found)


def test_marks_of_a_range_include_both_ends(ask):
    ingest(WAVES)
    times = sorted({each.candle_time for each in events()})
    start, end = times[1], times[3]
    assert {each["time"] for each in ask(start, end)} == set(times[1:4])


def test_ledger_behind_its_revisions_has_no_marks(ask):
    ingest(WAVES)
    assert ask()
    revised = WAVES[100]._replace(volume=99.0)
    ingest([revised], Pipeline(runtime.candle_store()))
    assert ask() == []


def test_ledger_behind_its_candles_has_marks_up_to_there(ask):
    ingest(WAVES[:-1])
    before = ask()
    ingest(WAVES[-1:], Pipeline(runtime.candle_store()))
    assert before and ask() == before


def test_unknown_series_has_no_marks(ask):
    assert ask() == ask(path="timescale_marks") == []


def pen(number, time):
    return Event("pen", "pen.confirmed", time, f"confirmed:{number}", {"visible_time": time})


def test_marks_are_bounded():
    many = [pen(number, number * 60) for number in range(MOST_MARKS + 10)]
    found = marked(factors.engine().factors, many)
    assert (len(found), found[-1]["time"]) == (MOST_MARKS, many[-1].candle_time)
    crowded = [pen(number, 60) for number in range(MOST_AT_A_BAR + 5)]
    assert len(marked(factors.engine().factors, crowded)) == MOST_AT_A_BAR


def test_gaps_are_at_the_time_scale(ask):
    store([60, 120, 300, 360])
    assert ask(0, 1000, path="timescale_marks") == [
        {
            "id": "gap:300",
            "time": 300,
            "color": marking.INKS["amber"],
            "label": "G",
            "tooltip": ["2 missing", "1970-01-01 00:03:00 UTC to 1970-01-01 00:04:00 UTC"],
        }
    ]
