"""What a series looks like at one time: draw deltas, frames of factors and drawings, and polls.

Reads never compute. They take what the ledgers hold, or say which ledger is not there yet. A read
that a revision overtakes is done again, so that no answer mixes two pasts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from factors.domain.graph import FactorSpec
from factors.domain.ledger import FactorLedger
from factors.domain.slices import EVENT_LIMIT, envelope, slices, window_start
from market.domain.series import SeriesId
from market.domain.store import CandleStore, SeriesState
from overlays.domain.delta import PATCH_LIMIT, SCHEMA_VERSION, DrawDelta, draw_delta, nothing
from overlays.domain.integrity import facts_of, mismatches
from overlays.domain.ledger import LedgerState, OverlayLedger
from overlays.domain.versions import OneLook, VersionReader

log = logging.getLogger(__name__)

ATTEMPTS = 4

T = TypeVar("T")


class NoData(Exception):
    """The series holds no candle to look at."""


class NoOverlay(Exception):
    """Nothing was drawn of the series yet."""


class OutOfSync(Exception):
    """A ledger does not hold the candle asked for, or not what its candles say now."""

    def __init__(self, ledger: str) -> None:
        super().__init__(ledger)
        self.ledger = ledger


@dataclass(frozen=True, slots=True)
class _Now:
    """Where candles and drawings of a series stand."""

    series: SeriesId
    candles: SeriesState
    drawn: LedgerState | None

    @property
    def drawn_to(self) -> int | None:
        """The newest candle drawn."""
        head = -1 if self.drawn is None else self.drawn.position.head_time
        return None if head < 0 else head

    def require_drawn(self, time: int) -> None:
        """Raise OutOfSync unless the candle at `time` is drawn, from the candles as they are."""
        drawn = self.drawn
        if drawn is None or drawn.position.head_time < time:
            raise OutOfSync("overlay")
        if drawn.position.epoch != self.candles.epoch:
            raise OutOfSync("overlay")


@dataclass(frozen=True, slots=True)
class Reads:
    """Reads over the candle store and both ledgers; blocks on them."""

    candles: CandleStore
    facts: FactorLedger
    drawings: OverlayLedger
    specs: Sequence[FactorSpec]

    def delta(
        self, series: SeriesId, *, cursor: int, window: int, at_time: int | None
    ) -> dict[str, Any]:
        """The draw delta at the newest candle, or at the last one up to `at_time`.

        `window` counts candles. Raises OutOfSync.
        """

        def read(now: _Now) -> dict[str, Any]:
            to_time = self._newest(now) if at_time is None else self._floor(series, at_time)
            return self._delta(now, to_time, cursor=cursor, window=window).as_object(series)

        return self._settled(series, read)

    def frame_live(self, series: SeriesId, *, window: int) -> dict[str, Any]:
        """Factors and drawings at the newest candle; raises NoData, NoOverlay and OutOfSync."""

        def read(now: _Now) -> dict[str, Any]:
            head, drawn_to = now.candles.head, now.drawn_to
            if head is None:
                raise NoData
            if drawn_to is None:
                raise NoOverlay
            aligned = head if drawn_to >= head else self._floor(series, drawn_to)
            return self._frame(now, aligned, at_time=head, window=window)

        return self._settled(series, read)

    def frame_at(self, series: SeriesId, at_time: int, *, window: int) -> dict[str, Any]:
        """Factors and drawings at the last candle up to `at_time`: what was live then.

        Raises NoData and OutOfSync.
        """

        def read(now: _Now) -> dict[str, Any]:
            aligned = self._floor(series, at_time)
            return self._frame(now, aligned, at_time=at_time, window=window)

        return self._settled(series, read)

    def poll(self, series: SeriesId, *, after_id: int, window: int) -> dict[str, Any]:
        """What is new since the record numbered `after_id`: one record, or none.

        Each batch of candles has a number of its own, so there is one whenever the newest candle
        moved, also when that changed no drawing. Raises OutOfSync.
        """

        def read(now: _Now) -> dict[str, Any]:
            to_time = self._newest(now)
            if to_time is None:
                return _records(series, [], after_id)
            now.require_drawn(to_time)
            if now.drawn is not None and now.drawn.tick_id <= after_id:
                return _records(series, [], after_id)
            return self._record(now, to_time, after_id=after_id, window=window)

        return self._settled(series, read)

    def check(self, series: SeriesId, time: int, *, window: int) -> None:
        """Raise OutOfSync unless factors and drawings agree at the candle at `time`."""

        def read(now: _Now) -> None:
            now.require_drawn(time)
            known = self.slices(now, time, window=window)["snapshots"]
            cutoff = window_start(time, window, series.timeframe)
            versions = self.drawings.versions(series)
            _require_agreement(series, known, versions, to_time=time, cutoff=cutoff)

        self._settled(series, read)

    def slices(self, now: _Now, time: int, *, window: int) -> dict[str, Any]:
        """The factor slices at a candle; raises OutOfSync."""
        series = now.series
        start = window_start(time, window, series.timeframe)
        seen = self.facts.view(series, start=start, at_time=time, limit=EVENT_LIMIT)
        at = seen.position
        if at is None or at.head_time < time or at.epoch != now.candles.epoch:
            raise OutOfSync("factor")
        found = slices(self.specs, series, at_time=time, events=seen.events, heads=seen.heads)
        return envelope(series, time, candle_id=series.candle_id(time), found=found)

    def _record(self, now: _Now, to_time: int, *, after_id: int, window: int) -> dict[str, Any]:
        series = now.series
        seen = self.slices(now, to_time, window=window)
        known = seen["snapshots"] if after_id == 0 else None
        delta = self._drawn(now, to_time, cursor=after_id, window=window, known=known)
        number = _number(now, delta)
        if number <= after_id:
            return _records(series, [], after_id)
        record = {
            "id": number,
            "series_id": str(series),
            "to_candle_id": series.candle_id(to_time),
            "to_candle_time": to_time,
            "draw_delta": delta.as_object(series),
            "factor_slices": seen,
        }
        return _records(series, [record], number)

    def _frame(
        self, now: _Now, aligned: int | None, *, at_time: int, window: int
    ) -> dict[str, Any]:
        if aligned is None:
            raise NoData
        series = now.series
        seen = self.slices(now, aligned, window=window)
        delta = self._drawn(now, aligned, cursor=0, window=window, known=seen["snapshots"])
        return {
            "schema_version": SCHEMA_VERSION,
            "series_id": str(series),
            "time": {
                "at_time": at_time,
                "aligned_time": aligned,
                "candle_id": series.candle_id(aligned),
            },
            "factor_slices": seen,
            "draw_state": delta.as_object(series),
        }

    def _delta(self, now: _Now, to_time: int | None, *, cursor: int, window: int) -> DrawDelta:
        if to_time is None:
            return nothing(cursor)
        now.require_drawn(to_time)
        known = self.slices(now, to_time, window=window)["snapshots"] if cursor == 0 else None
        return self._drawn(now, to_time, cursor=cursor, window=window, known=known)

    def _drawn(
        self,
        now: _Now,
        to_time: int,
        *,
        cursor: int,
        window: int,
        known: Mapping[str, Any] | None,
    ) -> DrawDelta:
        """The delta at a candle; with `known` slices, only if it says the same as they do."""
        now.require_drawn(to_time)
        cutoff = window_start(to_time, window, now.series.timeframe)
        versions = OneLook(self.drawings.versions(now.series))
        if known is not None:
            _require_agreement(now.series, known, versions, to_time=to_time, cutoff=cutoff)
        return draw_delta(versions, cursor=cursor, to_time=to_time, cutoff=cutoff)

    def _newest(self, now: _Now) -> int | None:
        return now.drawn_to if now.candles.head is None else now.candles.head

    def _floor(self, series: SeriesId, time: int) -> int | None:
        return self.candles.floor(series, time)

    def _settled(self, series: SeriesId, read: Callable[[_Now], T]) -> T:
        """Read until nothing was taken back meanwhile, and candles and drawings go together."""
        for attempt in range(1, ATTEMPTS + 1):
            # In this order: what is drawn is at most as new as the candles then are.
            drawn = self.drawings.state(series)
            now = _Now(series, self.candles.state(series), drawn)
            try:
                answer = read(now)
            except OutOfSync:
                if attempt == ATTEMPTS or self.drawings.state(series) == drawn:
                    raise
                continue
            if _same_past(drawn, self.drawings.state(series)):
                return answer
        raise OutOfSync("overlay")


def _require_agreement(
    series: SeriesId,
    known: Mapping[str, Any],
    versions: VersionReader,
    *,
    to_time: int,
    cutoff: int,
) -> None:
    wrong = mismatches(facts_of(known), versions, to_time=to_time, cutoff=cutoff)
    if wrong:
        log.warning("%s at %d: drawn differs: %s", series, to_time, wrong)
        raise OutOfSync("overlay")


def _number(now: _Now, delta: DrawDelta) -> int:
    """The number of a record: that of the newest batch, once all its versions are in."""
    drawn = now.drawn
    is_whole = len(delta.patch) < PATCH_LIMIT or delta.to_time is None
    if drawn is None or not is_whole or drawn.position.head_time != delta.to_time:
        return delta.next_cursor
    return drawn.tick_id


def _records(series: SeriesId, records: list[dict[str, Any]], number: int) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "series_id": str(series),
        "records": records,
        "next_cursor": {"id": number},
    }


def _same_past(before: LedgerState | None, after: LedgerState | None) -> bool:
    count = before.takebacks if before is not None else 0
    return after is None or after.takebacks == count
