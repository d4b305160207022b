"""Recomputes the ledgers of a series from its stored candles, part by part.

Each part is a transaction of its own, through the same stages as live candles. A rebuild that is
interrupted leaves ledgers that are right as far as they go, and the next run continues there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from factors.domain.ledger import FactorLedger, FactorUpdate, Rebuild
from factors.engines import Engines
from market.domain.change import Change
from market.domain.series import SeriesId
from market.domain.store import CandleStore
from market.pipeline import Pipeline


class StageMissing(Exception):
    """The pipeline has no factor stage: it is switched off."""


@dataclass(frozen=True, slots=True)
class Rebuilding:
    """A committed part of a rebuild: the change to publish, and how many candles it covers."""

    change: Change
    candles: int


@dataclass(frozen=True, slots=True)
class Rebuilder:
    """Rebuilds series through the process's pipeline."""

    pipeline: Pipeline
    store: CandleStore
    ledger: FactorLedger
    engines: Engines

    def start_of(self, series: SeriesId, from_time: int | None) -> int | None:
        """From which candle on a rebuild must compute; None when the series has no candles.

        Without `from_time`: where an interrupted one stopped, or else the first candle.
        """
        if from_time is not None:
            return from_time
        known, head = self.ledger.position(series), self.store.state(series).head
        fingerprint = self.engines.of(series).fingerprint
        if known is None or known.head_time in (-1, head) or known.fingerprint != fingerprint:
            return self.store.first(series)
        return known.head_time + 1

    def run(self, series: SeriesId, from_time: int) -> Iterator[Rebuilding]:
        """Compute from the candle at `from_time` on; one item for each part that was committed.

        Raises PipelineError, with nothing of that part stored, and StageMissing.
        """
        request = Rebuild(from_time)
        while True:
            change = self.pipeline.rerun(series, request)
            update = change.results.get(FactorUpdate)
            if update is None:
                raise StageMissing
            yield Rebuilding(change, len(update.steps))
            if update.head_time >= (change.state.head or 0) or not update.steps:
                return
            request = Rebuild()
