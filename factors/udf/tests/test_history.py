"""Bars: which candles a range has, on both stores, and what a chart's polls see over time."""

from __future__ import annotations

from itertools import pairwise

import orjson
import pytest

from factors.udf import history
from factors.udf.history import MOST_BARS, Bars, Range
from market import blocking
from market.api.tests.asking import refusal, store
from market.domain.series import SeriesId
from market.runtime import candle_store

SERIES = SeriesId.parse("binance:futures:BTC/USDT:1m")
TICKER = "binance:futures:BTC/USDT"
PATH = "/udf/history"
MINUTE = 60
OFF = {"detail": "not_found", "code": "not_found", "s": "error", "errmsg": "not_found"}

pytestmark = pytest.mark.usefixtures("either_store", "udf")


@pytest.fixture
def ask(api):
    def ask_it(start, end, count=None, *, resolution="1", symbol=TICKER):
        counted = {} if count is None else {"countback": count}
        query = {"symbol": symbol, "resolution": resolution, "from": start, "to": end}
        response = api.get(PATH, **query, **counted)
        assert response.status_code == 200, response.content
        return response.json()

    return ask_it


def times(answer):
    return answer["t"]


def minutes(*numbers):
    return [number * MINUTE for number in numbers]


def test_bars_are_columns_in_ascending_order(ask):
    store(minutes(3, 1, 2))
    assert ask(0, 240) == {
        "s": "ok",
        "t": [60, 120, 180],
        "o": [1.0] * 3,
        "h": [2.0] * 3,
        "l": [0.5] * 3,
        "c": [1.5] * 3,
        "v": [10.0] * 3,
    }


def test_from_is_in_the_range_and_to_is_not(ask):
    store(minutes(*range(10)))
    assert times(ask(120, 300)) == minutes(2, 3, 4)
    assert times(ask(119.9, 300.5)) == minutes(2, 3, 4, 5)


def test_countback_reaches_beyond_from(ask):
    store(minutes(*range(10)))
    assert times(ask(480, 540, 4)) == minutes(5, 6, 7, 8)


def test_countback_reaches_over_a_gap(ask):
    store(minutes(1, 2, 3, 500, 501))
    assert times(ask(500 * MINUTE, 502 * MINUTE, 4)) == minutes(2, 3, 500, 501)


def test_range_is_whole_whatever_countback_is(ask):
    store(minutes(*range(10)))
    assert times(ask(60, 600, 2)) == minutes(*range(1, 10))


def test_many_bars_are_the_newest(ask):
    store(minutes(*range(1, MOST_BARS + 11)))
    answer = ask(0, 10_000_000)
    assert (answer["t"][0], len(answer["t"])) == (11 * MINUTE, MOST_BARS)
    assert len(ask(0, 10_000_000, 1_000_000)["t"]) == MOST_BARS


def test_empty_range_names_the_newest_earlier_bar(ask):
    store(minutes(1, 2, 500))
    assert ask(600, 6000) == {"s": "no_data", "nextTime": 120}


def test_nothing_is_before_the_first_bar(ask):
    store(minutes(5))
    assert ask(-(10**9), 300, 10) == {"s": "no_data"}
    assert ask(-(10**9), -(10**8)) == {"s": "no_data"}
    assert ask(0, 1e300, symbol="binance:spot:NOT/STORED") == {"s": "no_data"}


def test_candle_off_the_grid_is_no_bar(ask):
    store([60, 90, 120])
    assert times(ask(0, 600, 3)) == [60, 120]


def test_resolutions_read_their_own_series(ask):
    store([3600, 7200], series=f"{TICKER}:1h")
    store([86400 * 4, 86400 * 11], series=f"{TICKER}:1w")
    assert times(ask(0, 10**6, resolution="60")) == [3600, 7200]
    assert times(ask(0, 10**7, resolution="1W")) == [86400 * 4, 86400 * 11]
    months = [0, 31 * 86400, 59 * 86400, 90 * 86400]
    store(months, series=f"{TICKER}:1M")
    assert times(ask(1, 90 * 86400 + 1, resolution="1M")) == months[1:]
    assert times(ask(86400 * 60, 86400 * 90, 2, resolution="1M")) == months[1:3]


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"resolution": "5M"}, (400, "unsupported_resolution")),
        ({"symbol": "abc"}, (400, "invalid_series_id")),
        ({"from": "x"}, (422, "validation_error")),
        ({"to": "nan"}, (422, "validation_error")),
        ({"countback": -1}, (422, "validation_error")),
    ],
)
def test_bad_request_is_refused(api, query, error):
    asked = {"symbol": TICKER, "resolution": "1", "from": 0, "to": 60} | query
    assert refusal(api.get(PATH, **asked)) == error


def test_answer_names_the_revisions_it_has(api):
    store(minutes(1, 2))
    asked = {"symbol": TICKER, "resolution": "1", "from": 0, "to": 600}
    before = int(api.get(PATH, **asked)["X-Series-Epoch"])
    store(minutes(1), close=1.75)
    after = api.get(PATH, **asked)
    assert int(after["X-Series-Epoch"]) > before
    assert after.json()["c"] == [1.75, 1.5]


def test_large_answer_is_compressed(api):
    store(minutes(*range(1, 100)))
    asked = {"symbol": TICKER, "resolution": "1", "from": 0, "to": 10_000}
    response = api.http.get(PATH, asked, headers={"Accept-Encoding": "gzip"})
    assert response["Content-Encoding"] == "gzip"


def test_repeated_poll_reads_no_candles(monkeypatch):
    store(minutes(*range(1, 10)))
    kept, reads = candle_store(), []
    newest = kept.newest

    def counted(*args, **kwargs):
        reads.append(args)
        return newest(*args, **kwargs)

    monkeypatch.setattr(kept, "newest", counted)
    bars = Bars(kept, clock=lambda: 700.0)

    def poll(now):
        return blocking.call(bars.answer, SERIES, Range(now - 600.5, now, 2)).content

    assert poll(601) == poll(625) == poll(655)
    assert len(reads) == 1
    store(minutes(10))
    assert orjson.loads(poll(661))["t"][-1] == 600
    store(minutes(9), close=1.75)
    assert orjson.loads(poll(665))["c"][-2:] == [1.75, 1.5]


def test_open_candle_is_not_shown():
    store(minutes(1, 2, 3))
    asked = Range(0, 10_000, 2)

    def shown(now):
        bars = Bars(candle_store(), clock=lambda: now)
        return orjson.loads(blocking.call(bars.answer, SERIES, asked).content)["t"]

    assert shown(239.0) == minutes(1, 2)
    assert shown(240.0) == minutes(1, 2, 3)


class Chart:
    """What the library asserts of a data feed, with its adapter's poll of two bars."""

    def __init__(self, ask):
        self.ask = ask
        self.bars = {}
        self.last = 0

    def poll(self, now):
        answer = self.ask(now - 600, now, 2)
        for time, close in list(zip(answer["t"], answer["c"], strict=True))[-2:]:
            if time < self.last - MINUTE:
                raise AssertionError("time violation")
            self.bars[time] = close
            self.last = max(self.last, time)


def test_polls_go_forward_and_leave_out_nothing(ask):
    """Candles arrive early, late, two at once, repeated and revised."""
    chart = Chart(ask)
    store(minutes(*range(1, 4)))
    chart.poll(4 * MINUTE)
    for batch, close in [((4,), 1.5), ((5, 6), 1.5), ((6,), 1.75), ((7,), 1.5), ((9, 8), 1.5)]:
        store(minutes(*batch), close=close)
        chart.poll((max(batch) + 1) * MINUTE)
        chart.poll((max(batch) + 1) * MINUTE + 10)
    assert all(later - earlier == MINUTE for earlier, later in pairwise(sorted(chart.bars)))
    assert chart.bars[6 * MINUTE] == 1.75
    assert sorted(chart.bars) == minutes(*range(2, 10))


def test_switched_off_there_is_nothing(api, switch):
    switch(enable_udf=False)
    for path in ("config", "time", "symbols", "search", "history", "marks", "timescale_marks"):
        answer = api.get(f"/udf/{path}")
        assert (answer.status_code, answer.json()) == (404, OFF), path


def test_singleton_reads_the_process_store():
    store(minutes(1))
    assert blocking.call(history.bars().answer, SERIES, Range(0, 600, 0)).head == 60
