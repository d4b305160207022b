"""The stream of a replay: every bar as its frame, from anywhere, several series on one clock."""

from __future__ import annotations

import gzip
import random

import orjson
import pytest
from django.test import AsyncClient

from factors.tests.ledgers import changed
from lab.replay import played
from market import blocking
from market.costs import COST, REQUEST_MS, Cost
from market.domain.candle import Candle
from market.domain.rollup import roll_up
from market.domain.series import SeriesId
from market.domain.timeframe import Timeframe
from overlays import runtime
from overlays.api.tests.drawn import SERIES, ingest, refused, walk
from overlays.replay import stream
from overlays.replay.jobs import reader
from overlays.replay.stream import StreamSpec, lines
from overlays.replay.tests.asked import streamed
from overlays.replay.tests.states import framed
from overlays.replay.tests.streams import parsed

STREAM = "/api/replay/stream"
WINDOW = 40
SERIES_OF_5M = SERIES.replace(":1m", ":5m")

pytestmark = pytest.mark.usefixtures("small")


def read(**query):
    response, content = streamed(STREAM, series_id=SERIES, window_candles=WINDOW, **query)
    assert response.status_code == 200, content
    assert response.headers["Content-Type"] == "application/x-ndjson"
    return parsed(content)


def frame(series, time):
    return framed(runtime.reads(), SeriesId.parse(series), time, WINDOW)


@pytest.fixture
def filled(either_store):
    """A series with a hole, in memory, then in PostgreSQL."""
    candles = [each for n, each in enumerate(walk(150)) if not 70 <= n < 75]
    ingest(candles[:100])
    for candle in candles[100:]:
        ingest([candle])
    return candles


@pytest.mark.parametrize("size", [1, 13, 500])
def test_every_bar_is_what_its_frame_was(filled, size):
    found = {}
    lines = read(**{"from": 0, "factors": "true", "window_size": size})
    for clock, stage in played(lines):
        assert clock == stage.time + 60
        if size == 13 or stage.time % 420 == 0:
            assert stage.state() == frame(SERIES, stage.time), stage.time
        found[stage.time] = clock
    assert list(found) == [each.candle_time for each in filled]
    assert lines[-1] == {"type": "end", "next_from": None}
    closes = [
        close
        for line in lines[1:-1]
        for part in line["series"]
        for close in part["candles"]["close"]
    ]
    assert closes == [each.close for each in filled]


def test_a_seek_has_the_state_of_any_bar(filled):
    for at in [59, 60, 9999, *random.Random(5).sample(range(60, 9000), 8)]:
        lines = read(**{"from": at, "to": at, "factors": "true"})
        assert [line["type"] for line in lines] == ["start", "end"]
        times = [each.candle_time for each in filled if each.candle_time <= at]
        if not times:
            assert lines[0]["series"][0]["time"] is None
            continue
        ((_, stage),) = played(lines)
        assert stage.time == times[-1]
        assert stage.state() == frame(SERIES, stage.time)


def test_an_answer_that_ends_at_its_limit_is_continued(filled):
    seen, start = [], 60
    while start is not None:
        lines = read(**{"from": start, "limit": 40, "window_size": 20})
        seen += [stage.time for _, stage in played(lines)][1 if seen else 0 :]
        assert sum(line["type"] == "window" for line in lines) <= 2
        start = lines[-1]["next_from"]
    assert seen == [each.candle_time for each in filled]


def rolled(candles, step):
    """Candles of a longer timeframe."""
    buckets = {}
    for each in candles:
        buckets.setdefault(each.candle_time // step * step, []).append(each)
    return [
        Candle(
            time,
            part[0].open,
            max(each.high for each in part),
            min(each.low for each in part),
            part[-1].close,
            sum(each.volume for each in part),
        )
        for time, part in buckets.items()
    ]


@pytest.mark.parametrize("first", [SERIES, SERIES_OF_5M])
def test_several_series_are_on_one_clock(either_store, first):
    minutes = walk(150)
    # The bucket of the last minutes is not over.
    fives = rolled(minutes, 300)[:-1]
    ingest(minutes)
    ingest(fives, series=SERIES_OF_5M)
    other = "5m" if first == SERIES else f"{SERIES},{SERIES}"
    query = {"from": 1200, "to": 6000, "levels": other, "window_size": 7, "factors": "true"}
    response, content = streamed(STREAM, series_id=first, window_candles=WINDOW, **query)
    assert response.status_code == 200, content
    seen = {SERIES: [], SERIES_OF_5M: []}
    steps = {SERIES: 60, SERIES_OF_5M: 300}
    clocks = []
    for clock, stage in played(parsed(content)):
        assert stage.time + steps[stage.series_id] <= clock
        clocks.append(clock)
        seen[stage.series_id].append(stage.time)
        if stage.time % 900 == 0:
            assert stage.state() == frame(stage.series_id, stage.time), (stage.series_id, clock)
    assert clocks == sorted(clocks)
    begin, end = 1200 + steps[first], 6000 + steps[first]
    for name, candles in ((SERIES, minutes), (SERIES_OF_5M, fives)):
        closed = [each.candle_time for each in candles if each.candle_time + steps[name] <= end]
        earlier = [time for time in closed if time + steps[name] <= begin]
        assert seen[name] == closed[len(earlier) - 1 :]


def test_days_of_a_zone_appear_when_they_have_closed(in_memory):
    # From midnight in New York on; the fifth day has 23 hours.
    begin, hour, day = 1_709_701_200, Timeframe.parse("1h"), Timeframe.parse("1d~America/New_York")
    hours = [
        each._replace(candle_time=begin + 3600 * n) for n, each in enumerate(walk(24 * 12 - 1))
    ]
    days = [each.candle for each in roll_up(hours, hour, day)]
    assert len(days) == 12
    of_hours, of_days = SERIES.replace(":1m", ":1h"), SERIES.replace(":1m", f":{day}")
    ingest(hours, series=of_hours)
    ingest(days, series=of_days)
    for first in (of_hours, of_days):
        query = {"from": begin, "levels": f"{of_days},{of_hours}", "window_size": 5}
        response, content = streamed(STREAM, series_id=first, window_candles=WINDOW, **query)
        assert response.status_code == 200, content
        seen = [
            (stage.time, clock)
            for clock, stage in played(parsed(content))
            if stage.series_id == of_days
        ]
        assert dict(seen) == {each.candle_time: day.close_of(each.candle_time) for each in days}
        lengths = [clock - time for time, clock in dict(seen).items()]
        assert lengths == [86_400] * 4 + [82_800] + [86_400] * 7


def test_a_series_that_has_no_candle_yet_appears_when_it_has(in_memory):
    ingest(walk(150))
    ingest(rolled(walk(150), 300)[20:-1], series=SERIES_OF_5M)
    lines = read(**{"from": 60, "levels": "5m"})
    assert lines[0]["series"][1]["time"] is None
    times = [stage.time for _, stage in played(lines) if stage.series_id == SERIES_OF_5M]
    assert times[0] == 6000


def test_a_revision_ends_the_stream(in_memory):
    ingest(walk(150))
    spec = StreamSpec([SeriesId.parse(SERIES)], 60, None, WINDOW, 20, 5000, False)
    found = lines(reader(), spec)
    assert [orjson.loads(next(found))["type"] for _ in range(2)] == ["start", "window"]
    ingest([changed(walk(150)[10])])
    assert [orjson.loads(line) for line in found] == [{"type": "revised"}]


def test_a_stream_that_takes_long_ends_and_can_be_continued(in_memory, monkeypatch):
    ingest(walk(150))
    monkeypatch.setattr(stream, "MAX_S", -1)
    found = read(**{"from": 60, "window_size": 20})
    assert [line["type"] for line in found] == ["start", "window", "end"]
    assert found[-1]["next_from"] == 1260


def test_a_series_without_candles_is_empty(in_memory):
    found = read(**{"from": 0})
    assert found[0]["series"][0]["candles"]["time"] == []
    assert [line["type"] for line in found] == ["start", "end"]


def test_refusals(api, in_memory):
    for query, status in (
        ({}, 422),
        ({"from": -1}, 422),
        ({"from": 0, "window_size": 0}, 422),
        ({"from": 120, "to": 60}, 400),
        ({"from": 0, "limit": 20_001}, 422),
        ({"from": 0, "levels": "x"}, 400),
        ({"from": 0, "levels": ",".join(f"{n}m" for n in range(2, 10))}, 422),
    ):
        assert api.get(STREAM, series_id=SERIES, **query).status_code == status, query
    (item,) = api.get(STREAM, series_id=SERIES).json()["detail"]
    assert item["loc"] == ["query", "from"]
    ingest(walk(150), stages=[])
    answer = api.get(STREAM, series_id=SERIES, **{"from": 60})
    code = "draw_read.ledger_out_of_sync.overlay"
    assert refused(answer) == (409, "ledger_out_of_sync:overlay", code)


def test_lines_are_compressed_for_those_who_accept_it(in_memory):
    ingest(walk(150))
    query = {"series_id": SERIES, "from": 60}
    _, plain = streamed(STREAM, **query)
    response, packed = streamed(STREAM, encoding="gzip", **query)
    assert response.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed) == plain


async def test_all_of_a_stream_is_charged_to_its_client(in_memory):
    await blocking.run(ingest, walk(150))
    token = COST.set(cost := Cost())
    try:
        query = {"series_id": SERIES, "from": 60, "window_size": 1, "factors": "true"}
        response = await AsyncClient().get(STREAM, query)
        begun = cost.ms
        async for _ in response.streaming_content:
            pass
    finally:
        COST.reset(token)
    assert begun > REQUEST_MS
    assert cost.ms > begun
