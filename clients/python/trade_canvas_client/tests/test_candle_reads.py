"""Ranges of candles against the server's own views, while the store changes under the reading."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from django.test import Client as Http

from market import runtime
from market.api import history_chunks
from market.domain.candle import Candle as Stored
from market.domain.series import SeriesId
from trade_canvas_client import candle_reads
from trade_canvas_client.candle_reads import read_newest, read_range
from trade_canvas_client.errors import BadRequest, SeriesChanging
from trade_canvas_client.kept import Kept
from trade_canvas_client.wire import Answer

CELL, PAGE = 8, 10
FIRST = 6000 * 60


@pytest.fixture(autouse=True)
def small_parts(settings, monkeypatch):
    """A memory store behind the views; chunks and pages of a few candles."""
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    settings.SWITCHES = replace(settings.SWITCHES, enable_pg_store=False, enable_ws_pubsub=False)
    settings.PIPELINE_STAGES = []
    monkeypatch.setattr(history_chunks, "CELL_CANDLES", CELL)
    monkeypatch.setattr(history_chunks, "COMPUTED_CELLS", 2)
    monkeypatch.setattr(candle_reads, "CELL_CANDLES", CELL)
    monkeypatch.setattr(candle_reads, "PAGE_CANDLES", PAGE)


class World:
    """A series in the store, what it was at every moment, and the views that serve it."""

    def __init__(self, seed, monkeypatch):
        self.random = random.Random(seed)
        self.series = f"binance:futures:TORN{seed}/USDT:1m"
        self.moments = [{}]
        self.changes = 0
        self.asked = []
        self._http = Http()
        kind = type(runtime.candle_store())
        for name in ("read_after", "read_range"):
            monkeypatch.setattr(kind, name, self._disturbed(getattr(kind, name)))

    def put(self, *times, close=1.5):
        candles = [Stored(time, 1.0, max(2.0, close), 0.5, close, 10.0) for time in times]
        runtime.pipeline().ingest(SeriesId.parse(self.series), candles)
        self.moments.append(self.moments[-1] | {each.candle_time: close for each in candles})

    def change(self):
        """Append a candle, leave a hole, fill one, or revise a candle."""
        now = self.moments[-1]
        head = max(now)
        holes = [time for time in range(min(now), head, 60) if time not in now]
        kind = self.random.choice(("append", "skip", "fill", "revise", "revise"))
        if kind == "fill" and holes:
            self.put(self.random.choice(holes))
        elif kind == "revise":
            self.put(self.random.choice(sorted(now)), close=self.random.random())
        else:
            self.put(head + (60 if kind == "append" else 180))

    def _disturbed(self, read):
        def reading(store, *arguments, **options):
            self._may_change()
            return read(store, *arguments, **options)

        return reading

    def _may_change(self):
        if self.changes and self.random.random() < 0.3:
            left, self.changes = self.changes - 1, 0
            # Storing a candle may read, too. Several changes: of an early page and of a late one.
            for _ in range(self.random.randrange(1, 5)):
                self.change()
            self.changes = left

    def answer(self, request):
        self.asked.append(request.path)
        self._may_change()
        response = self._http.get(request.path, dict(request.query), headers=request.headers)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, response.content)

    def run(self, reading):
        try:
            requests = next(reading)
            while True:
                requests = reading.send([self.answer(each) for each in requests])
        except StopIteration as done:
            return done.value

    def read(self, start, end, kept=None):
        reading = read_range(
            self.series, start, end, kept=kept or Kept(), now=max(self.moments[-1])
        )
        return self.run(reading)


@pytest.fixture
def world(request, monkeypatch):
    made = World(getattr(request, "param", 0), monkeypatch)
    made.put(*range(FIRST, FIRST + 60 * 70, 60))
    return made


def closes(found):
    return {candle.candle_time: candle.close for candle in found}


@pytest.mark.parametrize("has_history", [None, False])
def test_a_range_is_what_is_stored(world, has_history):
    kept = Kept()
    kept.has_history = has_history
    for start, end in ((FIRST, None), (0, None), (FIRST + 300, FIRST + 60 * 40), (FIRST + 1, None)):
        found = world.read(start, end, kept)
        stored = world.moments[-1].items()
        assert closes(found) == {t: c for t, c in stored if start <= t <= (end or t)}
        assert (found.epoch, found.start) == (0, start)
        assert [*found][0].high == 2.0
    used = any("/history/" in path for path in world.asked)
    assert used is (has_history is None)


def test_history_is_read_once(world):
    kept = Kept()
    world.read(FIRST, None, kept)
    before = len(world.asked)
    again = world.read(FIRST, None, kept)
    assert closes(again) == world.moments[-1]
    assert not any("/history/" in path for path in world.asked[before:])


def test_short_ranges_come_from_pages(world):
    world.read(FIRST + 60 * 60, None)
    assert not any("history" in path for path in world.asked)


def test_server_without_history_is_read_by_pages(world, settings):
    settings.SWITCHES = replace(settings.SWITCHES, enable_compact_history=False)
    kept = Kept()
    assert closes(world.read(FIRST, None, kept)) == world.moments[-1]
    assert kept.has_history is False


def test_ranges_without_candles_are_empty(world):
    last = max(world.moments[-1])
    for start, end in ((0, FIRST - 1), (last + 60, None), (last + 60, last + 900)):
        assert len(world.read(start, end)) == 0
    world.series = "binance:futures:NONE/USDT:1m"
    assert len(world.read(0, None)) == 0


@pytest.mark.parametrize("world", range(60), indirect=True)
def test_a_range_is_never_torn(world):
    """It is what one moment had, whatever is stored between and within the answers."""
    kept = Kept()
    kept.has_history = False if world.random.random() < 0.5 else None
    for _ in range(3):
        world.change()
    begun = len(world.moments) - 1
    world.changes = world.random.randrange(1, 9)
    start = FIRST + 60 * world.random.randrange(30)
    end = world.random.choice((None, FIRST + 60 * 50))
    found = closes(world.read(start, end, kept))
    last = end or max(found)
    assert last >= (end or max(world.moments[begun]))
    of_one_moment = [
        {t: c for t, c in moment.items() if start <= t <= last} for moment in world.moments[begun:]
    ]
    assert found in of_one_moment


def test_a_last_page_that_is_newer_than_its_epoch_is_noticed(world):
    """Two revisions between its state and its candles: one of them is of the first page."""
    kept, calls = Kept(), []
    kept.has_history = False

    def changed():
        calls.append(len(calls))
        # Each page is a request and a read of the store.
        if len(calls) == 4:
            world.put(FIRST, close=0.25)
            world.put(FIRST + 60 * 15, close=0.75)

    world._may_change = changed
    found = closes(world.read(FIRST, FIRST + 60 * 19, kept))
    assert (found[FIRST], found[FIRST + 60 * 15]) == (0.25, 0.75)


def test_page_that_no_revision_touched_is_not_sent_again(world):
    """The second page was revised while the third was read: the first costs a 304."""
    kept = Kept()
    kept.has_history = False
    reading = read_range(world.series, FIRST, FIRST + 60 * 29, kept=kept)
    statuses, requests = [], next(reading)
    with pytest.raises(StopIteration) as done:
        while True:
            if len(statuses) == 2:
                world.put(FIRST + 60 * 15, close=0.75)
            (answer,) = map(world.answer, requests)
            statuses.append(answer.status)
            requests = reading.send([answer])
    assert closes(done.value.value)[FIRST + 60 * 15] == 0.75
    assert statuses == [200, 200, 200, 304, 200, 200]


def test_series_that_always_changes_is_given_up(world):
    def changed():
        world.put(FIRST + 120, close=world.random.random())
        return True

    world._may_change = changed
    kept = Kept()
    kept.has_history = False
    with pytest.raises(SeriesChanging):
        world.read(FIRST, None, kept)


def test_newest_candles_pass_over_holes(world):
    world.put(*range(FIRST + 60 * 300, FIRST + 60 * 320, 60))
    times = sorted(world.moments[-1])
    for count in (1, PAGE, 25, 60, 500):
        found = world.run(read_newest(world.series, count, kept=Kept()))
        assert list(found.columns.times) == times[-count:]


def test_errors_are_typed(world):
    world.series = "binance:futures:BTC/USDT:60m"
    with pytest.raises(BadRequest) as refused:
        world.read(0, None)
    assert refused.value.code == "series_alias"
    assert refused.value.fields == {"canonical_series_id": "binance:futures:BTC/USDT:1h"}
