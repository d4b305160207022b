"""Reads of a series at one time: draw deltas, frames of factors and drawings, and polls.

Reads never compute: they return what the ledgers hold, or raise OutOfSync with the ledger that is
behind. When candles are revised during a read it is repeated, so that no answer mixes the ledgers
from before and after a revision.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from factors.domain.graph import FactorSpec
from factors.domain.ledger import FactorLedger, Position
from factors.domain.slices import EVENT_LIMIT, envelope, slices, window_start
from market.domain.series import SeriesId
from market.domain.store import CandleStore, SeriesState
from overlays.domain.delta import SCHEMA_VERSION, DrawDelta, draw_delta, nothing
from overlays.domain.integrity import Check, checks_of, facts_of
from overlays.domain.ledger import LedgerState, OverlayLedger
from overlays.domain.versions import CachedVersions, VersionReader

log = logging.getLogger(__name__)

ATTEMPTS = 4

T = TypeVar("T")


class NoData(Exception):
    """The series has no candle at that time."""


class NoOverlay(Exception):
    """The series has no drawings yet."""


class OutOfSync(Exception):
    """A ledger has not reached the candle, or comes from candles that were revised since.

    `checks` are those that the read did, as far as it came; at least one of them failed.
    """

    def __init__(self, ledger: str, checks: Sequence[Check] = ()) -> None:
        super().__init__(ledger)
        self.ledger = ledger
        self.checks = checks


@dataclass(frozen=True, slots=True)
class Answer:
    """The body of an answer, and what it was made from: heads and epochs of candles and drawings.

    `cursor` numbers the batch of candles from which a client goes on; None when the answer is of a
    past time, or of a series without drawings.
    """

    body: dict[str, Any]
    candles: SeriesState
    drawn: LedgerState | None
    cursor: int | None = None


@dataclass(frozen=True, slots=True)
class _State:
    """Heads and epochs of the candles and drawings of a series, when a read begins."""

    series: SeriesId
    candles: SeriesState
    drawn: LedgerState | None

    @property
    def drawn_to(self) -> int | None:
        """The newest candle that is drawn."""
        head = -1 if self.drawn is None else self.drawn.position.head_time
        return None if head < 0 else head

    @property
    def newest(self) -> int | None:
        """The newest candle, or the newest that is drawn if there is none."""
        return self.drawn_to if self.candles.head is None else self.candles.head

    def answer(self, body: dict[str, Any], delta: DrawDelta | None = None) -> Answer:
        """An answer made in this state; with the delta in it, if a client may go on from that."""
        cursor = None if delta is None else _number(self, delta)
        return Answer(body, self.candles, self.drawn, cursor)

    def require_drawn(self, time: int) -> None:
        """Raise OutOfSync unless the candle at `time` is drawn, and no candle was revised since."""
        at = None if self.drawn is None else self.drawn.position
        _require_reached("overlay", at, time, self.candles)


@dataclass(frozen=True, slots=True)
class Reads:
    """Reads over the candle store and both ledgers; blocks on them."""

    candles: CandleStore
    facts: FactorLedger
    drawings: OverlayLedger
    specs: Sequence[FactorSpec]

    def delta(self, series: SeriesId, *, cursor: int, window: int, at_time: int | None) -> Answer:
        """The draw delta at the newest candle, or at the last one up to `at_time`.

        `window` counts candles. Raises OutOfSync.
        """

        def read(now: _State) -> Answer:
            to_time = now.newest if at_time is None else self.candles.floor(series, at_time)
            if to_time is None:
                return now.answer(nothing(cursor).as_object(series))
            now.require_drawn(to_time)
            known = self.slices(now, to_time, window=window)["snapshots"] if cursor == 0 else None
            delta = self._drawn(now, to_time, cursor=cursor, window=window, known=known)
            return now.answer(delta.as_object(series), delta if at_time is None else None)

        return self._repeated(series, read)

    def frame_live(self, series: SeriesId, *, window: int, with_slices: bool = True) -> Answer:
        """Factors and drawings at the newest candle; raises NoData, NoOverlay and OutOfSync."""

        def read(now: _State) -> Answer:
            head, drawn_to = now.candles.head, now.drawn_to
            if head is None:
                raise NoData
            if drawn_to is None:
                raise NoOverlay
            aligned = head if drawn_to >= head else self.candles.floor(series, drawn_to)
            body, delta = self._frame(
                now, aligned, at_time=head, window=window, with_slices=with_slices
            )
            return now.answer(body, delta)

        return self._repeated(series, read)

    def frame_at(
        self, series: SeriesId, at_time: int, *, window: int, with_slices: bool = True
    ) -> Answer:
        """Factors and drawings at the last candle up to `at_time`: the same as live then.

        Raises NoData and OutOfSync.
        """

        def read(now: _State) -> Answer:
            aligned = self.candles.floor(series, at_time)
            body, _ = self._frame(
                now, aligned, at_time=at_time, window=window, with_slices=with_slices
            )
            return now.answer(body)

        return self._repeated(series, read)

    def poll(
        self, series: SeriesId, *, after_id: int, window: int, with_slices: bool = True
    ) -> Answer:
        """What is new since the record numbered `after_id`: one record, or none.

        Each batch of candles has a number of its own, so a newer candle always makes a record, even
        if it changed no drawing. Raises OutOfSync.
        """

        def read(now: _State) -> Answer:
            to_time = now.newest
            if to_time is None:
                return now.answer(_records(series, [], after_id))
            now.require_drawn(to_time)
            if now.drawn is not None and now.drawn.tick_id <= after_id:
                return now.answer(_records(series, [], after_id))
            # The first answer to a client is checked against the factors.
            is_read = with_slices or after_id == 0
            seen = self.slices(now, to_time, window=window) if is_read else None
            known = seen["snapshots"] if seen is not None and after_id == 0 else None
            delta = self._drawn(now, to_time, cursor=after_id, window=window, known=known)
            number = _number(now, delta)
            if number <= after_id:
                return now.answer(_records(series, [], after_id))
            record = {
                "id": number,
                "series_id": str(series),
                "to_candle_id": series.candle_id(to_time),
                "to_candle_time": to_time,
                "draw_delta": delta.as_object(series),
                **({"factor_slices": seen} if with_slices else {}),
            }
            return now.answer(_records(series, [record], number), delta)

        return self._repeated(series, read)

    def check(self, series: SeriesId, time: int, *, window: int) -> None:
        """Raise OutOfSync unless factors and drawings agree at the candle at `time`."""

        def read(now: _State) -> None:
            now.require_drawn(time)
            known = self.slices(now, time, window=window)["snapshots"]
            cutoff = window_start(time, window, series.timeframe)
            versions = self.drawings.versions(series)
            _require_agreement(series, known, versions, to_time=time, cutoff=cutoff)

        self._repeated(series, read)

    def slices(self, now: _State, time: int, *, window: int) -> dict[str, Any]:
        """The factor slices at a candle; raises OutOfSync."""
        series = now.series
        start = window_start(time, window, series.timeframe)
        seen = self.facts.view(series, start=start, at_time=time, limit=EVENT_LIMIT)
        _require_reached("factor", seen.position, time, now.candles)
        found = slices(self.specs, series, at_time=time, events=seen.events, heads=seen.heads)
        return envelope(series, time, candle_id=series.candle_id(time), found=found)

    def _frame(
        self, now: _State, aligned: int | None, *, at_time: int, window: int, with_slices: bool
    ) -> tuple[dict[str, Any], DrawDelta]:
        if aligned is None:
            raise NoData
        series = now.series
        seen = self.slices(now, aligned, window=window)
        delta = self._drawn(now, aligned, cursor=0, window=window, known=seen["snapshots"])
        body = {
            "schema_version": SCHEMA_VERSION,
            "series_id": str(series),
            "time": {
                "at_time": at_time,
                "aligned_time": aligned,
                "candle_id": series.candle_id(aligned),
            },
            **({"factor_slices": seen} if with_slices else {}),
            "draw_state": delta.as_object(series),
        }
        return body, delta

    def _drawn(
        self,
        now: _State,
        to_time: int,
        *,
        cursor: int,
        window: int,
        known: Mapping[str, Any] | None,
    ) -> DrawDelta:
        """The delta at a candle; with `known` slices, OutOfSync unless it agrees with them."""
        now.require_drawn(to_time)
        cutoff = window_start(to_time, window, now.series.timeframe)
        versions = CachedVersions(self.drawings.versions(now.series))
        if known is not None:
            _require_agreement(now.series, known, versions, to_time=to_time, cutoff=cutoff)
        return draw_delta(versions, cursor=cursor, to_time=to_time, cutoff=cutoff)

    def _repeated(self, series: SeriesId, read: Callable[[_State], T]) -> T:
        """Repeat a read until no drawing was deleted during it, and candles and drawings agree."""
        for attempt in range(1, ATTEMPTS + 1):
            # In this order, so that the drawings are never newer than the candles.
            drawn = self.drawings.state(series)
            now = _State(series, self.candles.state(series), drawn)
            try:
                answer = read(now)
            except OutOfSync:
                if attempt == ATTEMPTS or self.drawings.state(series) == drawn:
                    raise
                continue
            if _same_past(drawn, self.drawings.state(series)):
                return answer
        reason = f"candles were revised during each of {ATTEMPTS} reads"
        raise OutOfSync("overlay", [Check("overlay.position", False, reason)])


def _require_reached(ledger: str, at: Position | None, time: int, candles: SeriesState) -> None:
    """Raise OutOfSync unless a ledger has reached the candle at `time`, in the same past."""
    if at is not None and at.head_time >= time and at.epoch == candles.epoch:
        return
    if at is None or at.head_time < time:
        reason = f"reaches {at and at.head_time}, not {time}"
    else:
        reason = f"is of epoch {at.epoch}, candles of {candles.epoch}"
    # Not to be made again: the next batch of candles brings the ledger up.
    raise OutOfSync(ledger, [Check(f"{ledger}.position", False, reason)])


def _require_agreement(
    series: SeriesId,
    known: Mapping[str, Any],
    versions: VersionReader,
    *,
    to_time: int,
    cutoff: int,
) -> None:
    checks = checks_of(facts_of(known), versions, to_time=to_time, cutoff=cutoff)
    wrong = [f"{check.plugin}: {check.reason}" for check in checks if check.should_rebuild]
    if wrong:
        log.warning("%s at %d: drawings differ from factors: %s", series, to_time, "; ".join(wrong))
        raise OutOfSync("overlay", checks)


def _number(now: _State, delta: DrawDelta) -> int:
    """The number of a record: the newest batch's, if the delta has all of its versions."""
    drawn = now.drawn
    if drawn is None or not delta.is_whole or drawn.position.head_time != delta.to_time:
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
