"""For tests of stage and reads: both stores, and what their ledgers must hold."""

from __future__ import annotations

import json

import pytest

from factors.domain.engine import Engine
from factors.domain.ledger import Rebuild
from factors.domain.slices import window_start
from factors.domain.tests.installed import FACTORS as INSTALLED
from factors.domain.tests.recordings import engine
from factors.engines import Engines
from factors.stage import FactorStage
from factors.stores.memory import MemoryFactorLedger
from factors.stores.postgres import PostgresFactorLedger
from factors.tests.ledgers import Failing
from market.pipeline import Pipeline
from market.stores.memory import MemoryCandleStore
from market.stores.postgres import PostgresCandleStore
from overlays.domain.all_renderers import DRAWING_ORDER
from overlays.domain.renderer import OverlayEngine
from overlays.domain.tests.applied import apply_delta
from overlays.domain.tests.installed import RENDERERS
from overlays.domain.versions import NEVER
from overlays.reads import Reads
from overlays.stage import OverlayStage, Redraw
from overlays.stores.memory import MemoryOverlayLedger
from overlays.stores.postgres import PostgresOverlayLedger
from overlays.tests import sample
from overlays.verify import Verifier

FACTORS = Engine([*INSTALLED, sample.FACTOR], engine(2, 1).parameters)
OVERLAYS = OverlayEngine([*RENDERERS, sample.RENDERER], DRAWING_ORDER, window_candles=20)


class Worker:
    """One process's pipeline: stages of its own on shared stores."""

    def __init__(self, stores, *, overlays=OVERLAYS, fingerprint="f", at_once=1000, every=512):
        options = {"at_once": at_once, "every": every}
        factors = FactorStage(Engines(FACTORS), stores.facts, candles=stores.candles, **options)
        drawing = OverlayStage(
            stores.drawings,
            engine=overlays,
            fingerprint_of=lambda _: fingerprint,
            facts=stores.facts,
            candles=stores.candles,
            **options,
        )
        self.failing = Failing()
        self.pipeline = Pipeline(stores.candles, [factors, drawing, self.failing])
        self.without_overlays = Pipeline(stores.candles, [factors])

    def ingest(self, series, candles):
        return self.pipeline.ingest(series, candles)

    def rebuild(self, series, from_time=None):
        return self.pipeline.rerun(series, Rebuild(from_time))

    def redraw(self, series, from_time=None):
        return self.pipeline.rerun(series, Redraw(from_time))


class Stores:
    """A candle store and both ledgers beside it."""

    def __init__(self, candles, facts, drawings):
        self.candles, self.facts, self.drawings = candles, facts, drawings
        self.reads = Reads(candles, facts, drawings, FACTORS.factors)

    def verdict(self, series, *, overlays=OVERLAYS, fingerprint="f"):
        """The result of a verification."""
        verifier = Verifier(
            candles=self.candles,
            engines=Engines(FACTORS),
            facts=self.facts,
            overlay_engine=overlays,
            drawings=self.drawings,
            fingerprint_of=lambda _: fingerprint,
        )
        return verifier.run(series)

    def is_exact(self, series, **given):
        """Whether the ledgers hold what a fresh fold of the candles gives."""
        for each in self.verdict(series, **given).comparisons:
            assert each.first_difference is None, (each.name, each.first_difference)
            assert each.checksums[0] == each.checksums[1] and each.expected == each.found
        return True

    def versions(self, series):
        return self.drawings.versions(series).after(0, NEVER - 1, limit=10**6)

    def written(self, series):
        """All there is of a series, as text."""
        state = self.candles.state(series), self.facts.position(series), self.drawings.state(series)
        return json.dumps([*state, self.versions(series)], default=dict)


class Viewer:
    """A client that follows the drawings by one cursor and never reads from the start."""

    def __init__(self, reads, series, *, window):
        self.reads, self.series, self.window = reads, series, window
        self.catalog, self.points, self.active, self.cursor = {}, {}, [], 0
        self.to_time = 0

    def poll(self):
        """Take what is new; return the record."""
        answer = self.reads.poll(self.series, after_id=self.cursor, window=self.window).body
        assert answer["next_cursor"]["id"] >= self.cursor
        self.cursor = answer["next_cursor"]["id"]
        for record in answer["records"]:
            self.take(record["draw_delta"])
            return record
        return None

    def read(self):
        """Take the draw delta behind the cursor."""
        answer = self.reads.delta(self.series, cursor=self.cursor, window=self.window, at_time=None)
        delta = answer.body
        self.cursor = delta["next_cursor"]["version_id"]
        self.take(delta)

    def take(self, delta):
        apply_delta(delta, self.catalog, self.points)
        self.active, self.to_time = delta["active_ids"], delta["to_candle_time"]

    def shown(self):
        """Definitions, and for lines their points of the window."""
        return {name: (self.catalog[name], self._line(name)) for name in self.active}

    def _line(self, name):
        cutoff = window_start(self.to_time, self.window, self.series.timeframe)
        start = max(cutoff, self.catalog[name].get("start", 0))
        return sorted((at, value) for at, value in self.points[name].items() if at >= start)


def fresh(reads, series, *, window):
    """What a client without any version shows."""
    viewer = Viewer(reads, series, window=window)
    viewer.read()
    return viewer.shown()


def memory_stores():
    return Stores(MemoryCandleStore(), MemoryFactorLedger(), MemoryOverlayLedger())


def postgres_stores(*, dense=False):
    facts, drawings = PostgresFactorLedger(dense=dense), PostgresOverlayLedger(dense=dense)
    return Stores(PostgresCandleStore(), facts, drawings)


@pytest.fixture(params=["memory", "postgres"])
def stores(request, transactional_db):
    return memory_stores() if request.param == "memory" else postgres_stores()
