"""Past frames equal live ones: random series, batches, revisions, failures."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from factors.domain.tests.recordings import candles_strategy
from factors.tests.ledgers import BATCHES, KNOWN, changed, new_series
from market.pipeline import PipelineError
from overlays.reads import NoData, NoOverlay, OutOfSync
from overlays.tests.ledgers import Viewer, Worker, fresh
from tests.examples import examples

WINDOW = 12


class Recorder:
    """Records what was live at each candle, until that candle's past is revised."""

    def __init__(self, stores, series):
        self.stores, self.series = stores, series
        self.frames = {}
        self.viewers = [Viewer(stores.reads, series, window=WINDOW) for _ in range(2)]

    def forget(self, change):
        if change.revised_from is not None:
            self.frames = {t: f for t, f in self.frames.items() if t < change.revised_from}

    def record(self):
        try:
            frame = self.stores.reads.frame_live(self.series, window=WINDOW).body
        except (NoData, NoOverlay, OutOfSync):
            return
        assert frame["time"].pop("at_time") == self.stores.candles.state(self.series).head
        self.frames.setdefault(frame["time"]["aligned_time"], frame)
        if frame["time"]["aligned_time"] == self.stores.candles.state(self.series).head:
            self.view()

    def view(self):
        now = fresh(self.stores.reads, self.series, window=WINDOW)
        polling, reading = self.viewers
        polling.poll()
        reading.read()
        assert polling.shown() == reading.shown() == now

    def compare(self):
        for time, recorded in self.frames.items():
            frame = self.stores.reads.frame_at(self.series, time, window=WINDOW).body
            del frame["time"]["at_time"]
            assert frame == recorded


@examples(0.7, **KNOWN)
@given(candles=candles_strategy(max_size=80), program=BATCHES, at_once=st.sampled_from([5, 1000]))
def test_past_frames_are_what_was_live(stores, candles, program, at_once):
    series = new_series()
    workers = [Worker(stores, at_once=at_once, every=3) for _ in range(2)]
    recorder = Recorder(stores, series)
    # Singly at last, so that every candle is live once.
    singly = [(n, 1, 0.0, n % 2, False) for n in range(len(candles))]
    for start, size, by, who, fails in program + singly:
        worker = workers[who]
        worker.failing.fails = fails
        before = stores.written(series)
        try:
            change = worker.ingest(series, [changed(c, by) for c in candles[start : start + size]])
        except PipelineError:
            assert stores.written(series) == before
        else:
            recorder.forget(change)
        worker.failing.fails = False
        recorder.record()
    finish(workers[0], stores, series)
    assert stores.is_exact(series)
    recorder.record()
    recorder.compare()


def finish(worker, stores, series):
    head = stores.candles.state(series).head
    while stores.drawings.state(series).position.head_time < head:
        worker.rebuild(series)
