"""The alert stage: what rules find in a batch is written in the batch's own transaction.

Only candles beyond the old head count, so that history, corrections and rebuilds make no alerts.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple, cast

from django.conf import settings

from factors import runtime
from factors.alerts import metrics
from factors.alerts.background import alert_watch
from factors.alerts.occurrences import Alert, alerts_of, crossings, facts_of
from factors.alerts.outbox import Added, add, load_rules
from factors.alerts.rules import Rule, RuleBook
from factors.domain.ledger import FactorLedger, FactorUpdate
from factors.domain.values import Payload
from market.domain.candle import Candle
from market.domain.change import Change, Notice
from market.domain.series import SeriesId
from market.domain.store import CandleStore, SeriesWriter
from market.runtime import candle_store
from market.stores.postgres_writer import PostgresWriter

log = logging.getLogger(__name__)

MOST_AT_ONCE = 500
"""Alerts of one batch of a series; more are dropped, and counted."""

MOST_CLOSES = 10_000


class Close(NamedTuple):
    """The close of a candle as it was in an epoch of the store's generation."""

    candle_time: int
    epoch: int
    generation: str
    price: float


class AlertStage:
    """Writes the alerts of each change into the outbox; without a rule it does nothing at all."""

    name = "alert.evaluate"

    def __init__(
        self,
        book: RuleBook | None = None,
        *,
        ledger: FactorLedger | None = None,
        candles: CandleStore | None = None,
        ring: Callable[[], object] | None = None,
        max_age_s: float | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Take what is not given from this process's runtime and switches."""
        age = settings.SWITCHES.alerts_max_age_s
        self._book = alert_watch().book if book is None else book
        self._ledger = ledger or runtime.factor_ledger()
        self._candles = candles or candle_store()
        self._ring = alert_watch().ring if ring is None else ring
        self._max_age_s = age if max_age_s is None else max_age_s
        self._now = now
        self._closes: dict[SeriesId, Close] = {}

    def apply(self, writer: SeriesWriter, change: Change) -> Iterable[Notice]:
        """Write the alerts of a change."""
        if not self._book.is_loaded:
            # Once in a process; from then on alert_watch keeps it up to date.
            self._book.replace(load_rules())
        rules = self._book.of(change.series)
        if rules and change.fresh:
            found = list(islice(self._alerts(writer, change, rules), MOST_AT_ONCE + 1))
            if len(found) > MOST_AT_ONCE:
                found.pop()
                metrics.DROPPED.inc()
                log.warning("%s: more than %d alerts at once", change.series, MOST_AT_ONCE)
            if found:
                entry = Added(change.series, found, self._now())
                cast(PostgresWriter, writer).defer(add, entry)
                writer.on_commit(partial(self._committed, found))
        return ()

    def _committed(self, found: Sequence[Alert]) -> None:
        for alert in found:
            metrics.FOUND.inc(1, alert.fact.kind)
        self._ring()

    def _alerts(
        self, writer: SeriesWriter, change: Change, rules: Sequence[Rule]
    ) -> Iterator[Alert]:
        """The alerts of candles that are new enough, in the order of their candles."""
        timeframe = change.series.timeframe
        oldest = self._now() - self._max_age_s
        found = [*self._of_facts(change, rules), *self._of_prices(writer, change, rules)]
        found.sort(key=lambda alert: alert.fact.candle_time)
        for alert in found:
            ended_at = timeframe.close_of(alert.fact.candle_time)
            if ended_at > alert.rule.active_from and ended_at >= oldest:
                yield alert

    def _of_facts(self, change: Change, rules: Sequence[Rule]) -> list[Alert]:
        update = change.results.get(FactorUpdate)
        wanted = frozenset().union(*(rule.kinds for rule in rules))
        if update is None or not wanted:
            return []
        head = -1 if change.predecessor is None else change.predecessor
        steps = [step for step in update.steps if step.candle_time > head]
        levels = partial(self._levels_before, change.series)
        return alerts_of(rules, change.series, facts_of(steps, wanted, levels))

    def _levels_before(self, series: SeriesId, time: int) -> Sequence[Payload]:
        """The levels of the newest snapshot before a candle: one read, when a level is broken."""
        view = self._ledger.view(series, start=time, at_time=time - 1, limit=1)
        head = view.heads.get("sr")
        levels: Sequence[Payload] = () if head is None else head["levels"]
        return levels

    def _of_prices(
        self, writer: SeriesWriter, change: Change, rules: Sequence[Rule]
    ) -> Iterable[Alert]:
        priced = [rule for rule in rules if rule.level is not None]
        if not priced:
            return []
        before = self._close_before(change)
        state, last = change.state, change.fresh[-1]
        kept = Close(last.candle_time, state.epoch, state.generation, last.close)
        writer.on_commit(partial(self._keep, change.series, kept))
        return [
            alert
            for rule in priced
            for alert in crossings(rule, change.series, change.fresh, before)
        ]

    def _close_before(self, change: Change) -> float | None:
        """The close before the first new candle: kept from the last batch, or read."""
        if change.predecessor is None:
            return None
        kept, state = self._closes.get(change.series), change.state
        if kept and kept[:3] == (change.predecessor, state.epoch, state.generation):
            return kept.price
        found: list[Candle] = self._candles.newest(change.series, 1, up_to=change.predecessor)
        return found[0].close if found else None

    def _keep(self, series: SeriesId, close: Close) -> None:
        if len(self._closes) >= MOST_CLOSES:
            self._closes.clear()
        self._closes[series] = close
