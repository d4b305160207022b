"""Recorded markets: by package and by stream every bar is what its frame was."""

from __future__ import annotations

import gzip
from itertools import islice

import orjson
import pytest

from factors.lazy_json import as_json
from factors.tests.ledgers import new_series
from lab.benchmarks.samples import walk
from lab.replay import played, states_of
from market import runtime
from market.domain.series import SeriesId
from overlays import runtime as overlays
from overlays.replay import jobs, package
from overlays.replay.package import PackageSpec
from overlays.replay.stream import StreamSpec, lines
from overlays.replay.tests.states import framed
from overlays.replay.tests.streams import parsed
from tests.recordings import recorded_candles

MEGABYTE = 10**6
BATCH = 1000
END = 10**10

pytestmark = pytest.mark.usefixtures("in_memory", "folder")


@pytest.fixture
def folder(switch, tmp_path):
    switch(artifacts_dir=str(tmp_path))


def stored(candles, timeframe):
    series = new_series(timeframe)
    for start in range(0, len(candles), BATCH):
        runtime.pipeline().ingest(series, candles[start : start + BATCH])
    return series


def packed(series: SeriesId, to_time: int, window: int):
    """A package of the candles in the window that ends at a time; None if there are none."""
    store = runtime.candle_store()
    spec = PackageSpec(str(series), to_time, window, 250, 25, END, to_time, window)
    if not store.count(series, spec.from_time, to_time):
        return None
    assert jobs.request(spec).is_due
    list(jobs.parts(spec.cache_key))
    return jobs.package(spec.cache_key)


def by_package(series, times, window):
    """The time and state at every bar, from as many packages as it takes."""
    reach = window * series.timeframe.seconds
    for to_time in range(times[0] + reach - series.timeframe.seconds, times[-1] + reach, reach):
        found = packed(series, to_time, window)
        for number in range(len(found["windows"]) if found else 0):
            first = number * found["metadata"]["window_size"]
            part = {"window": package.window_at(found, first)}
            content = as_json(part | package.changed_rows(found, number))
            for candle, state in states_of(orjson.loads(content), reach):
                yield candle["time"], state


def by_stream(series, times, window):
    """The same from a stream, in as many answers as it takes."""
    start, last = times[0], None
    while start is not None:
        spec = StreamSpec([series], start, None, window, 500, 5000, True)
        found = parsed(b"".join(lines(jobs.reader(), spec)))
        for _, stage in played(found):
            if last is None or stage.time > last:
                yield stage.time, stage.state()
            last = stage.time
        start = found[-1]["next_from"]


def is_exact(series, times, *, window, every):
    """Compare every so many bars of both with the frame."""
    reads = overlays.reads()
    both = zip(by_package(series, times, window), by_stream(series, times, window), strict=True)
    seen = []
    for place, ((time, of_package), (also, of_stream)) in enumerate(both):
        assert time == also
        seen.append(time)
        if place % every == 0 or place == len(times) - 1:
            frame = framed(reads, series, time, window)
            assert of_package == frame, time
            assert of_stream == frame, time
    return seen == times


def is_exact_as_it_grows(candles, timeframe):
    """Compare every bar, part by part as they are stored: frames far behind the head are slow."""
    series = new_series(timeframe)
    for start in range(0, len(candles), BATCH):
        part = candles[start : start + BATCH]
        runtime.pipeline().ingest(series, part)
        times = [each.candle_time for each in part]
        assert is_exact(series, times, window=300, every=1)
    return True


RECORDINGS = [("DOGE_USDT-1m", "1m"), ("BTC_USDT-5m", "5m"), ("XRP_ETH-1m-with-gaps", "1m")]


@pytest.mark.prove
@pytest.mark.parametrize(("name", "timeframe"), RECORDINGS)
def test_every_bar_of_a_recording_is_what_its_frame_was(name, timeframe):
    assert is_exact_as_it_grows(recorded_candles(name), timeframe)


@pytest.mark.prove
def test_every_bar_of_a_long_series_is_what_its_frame_was():
    assert is_exact_as_it_grows(list(islice(walk(), 20_000)), "1m")


@pytest.mark.prove
@pytest.mark.parametrize(("name", "timeframe"), RECORDINGS)
def test_bars_of_a_whole_recording_are_what_their_frames_were(name, timeframe):
    candles = recorded_candles(name)
    series = stored(candles, timeframe)
    times = [each.candle_time for each in candles]
    assert is_exact(series, times, window=2000, every=101)


def test_recorded_bars_are_what_their_frames_were():
    candles = recorded_candles("XRP_ETH-1m-with-gaps")[:900]
    times = [each.candle_time for each in candles]
    assert is_exact(stored(candles, "1m"), times, window=300, every=40)


@pytest.mark.usefixtures("recorded_factors")
def test_two_thousand_recorded_candles_are_small():
    candles = recorded_candles("DOGE_USDT-1m")[:4000]
    series = stored(candles, "1m")
    assert packed(series, candles[-1].candle_time, 2000)["metadata"]["total_candles"] == 2000
    (file,) = jobs.artifacts().root.rglob("replay_package.json")
    assert file.stat().st_size < 2 * MEGABYTE
    # As many bars as a page has, drawings included, compressed as they are sent.
    spec = StreamSpec([series], candles[2000].candle_time, None, 2000, 500, 5000, False)
    assert len(gzip.compress(b"".join(lines(jobs.reader(), spec)), 6)) < 48 * 2000
