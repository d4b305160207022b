"""A replay straight from the ledgers: lines of JSON, each with a window of bars of every series.

All series are on one clock: a candle belongs to the time at which it closed, so that none appears
before. docs/replay.md describes the lines.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError

from factors.lazy_json import as_json
from market.api.error_codes import ErrorCode
from market.domain.candle import Candle
from market.domain.series import SeriesId
from overlays.domain.instruction import InstructionVersion
from overlays.reads import OutOfSync
from overlays.replay.reader import Bar, ReplayReader, Revised, SeriesWalk

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
ATTEMPTS = 4

# An answer that takes longer ends, and can be continued: a slow client holds nothing for ever.
MAX_S = 120.0


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """What to replay: `start` and `end` are open times of the first series.

    A line has at most `window_size` bars of each series, the answer about `limit` of all.
    """

    series: Sequence[SeriesId]
    start: int
    end: int | None
    window: int
    window_size: int
    limit: int
    with_factors: bool

    @property
    def clock(self) -> int:
        """When the candle that opens at `start` has closed."""
        return self.series[0].timeframe.close_of(self.start)


def lines(reader: ReplayReader, spec: StreamSpec) -> Iterator[bytes]:
    """The lines of a replay. Blocking; raises OutOfSync before the first one."""
    walks = _begun(reader, spec)
    yield _line(_start(spec, walks))
    try:
        for line in _windows(spec, walks):
            yield _line(line)
    except Revised:
        yield _line({"type": "revised"})
    except DatabaseError:
        log.warning("a replay of %s ended early", spec.series[0], exc_info=True)
        yield _line({"type": "error", "code": ErrorCode.STORE_UNAVAILABLE})


def _begun(reader: ReplayReader, spec: StreamSpec) -> list[SeriesWalk]:
    """Each series at the last candle that has closed by the clock."""
    for _ in range(ATTEMPTS):
        try:
            return [
                reader.begin(
                    each,
                    each.timeframe.closed_by(spec.clock),
                    window=spec.window,
                    with_factors=spec.with_factors,
                )
                for each in spec.series
            ]
        except Revised:
            continue
    raise OutOfSync("overlay")


def _windows(spec: StreamSpec, walks: Sequence[SeriesWalk]) -> Iterator[dict[str, Any]]:
    first, size = spec.series[0].timeframe, spec.window_size
    end = max(_closed(walk, walk.reached) for walk in walks)
    if spec.end is not None:
        end = min(end, first.close_of(spec.end))
    left, until = spec.limit, time.monotonic() + MAX_S
    while True:
        ahead = [walk.following(walk.series.timeframe.closed_by(end), size) for walk in walks]
        # How far all series are known: a full page may not be the last.
        full = [
            _closed(walk, page[-1].candle_time)
            for walk, page in zip(walks, ahead, strict=True)
            if len(page) == size
        ]
        clock = min([*full, end])
        pages = [
            [each for each in page if _closed(walk, each.candle_time) <= clock]
            for walk, page in zip(walks, ahead, strict=True)
        ]
        if any(pages):
            moved = [walk.take(page) for walk, page in zip(walks, pages, strict=True)]
            yield {"type": "window", "clock": clock, "series": list(map(_part, spec.series, moved))}
        left -= sum(map(len, pages))
        if not full:
            yield {"type": "end", "next_from": None}
            return
        if left <= 0 or time.monotonic() > until:
            yield {"type": "end", "next_from": first.closed_by(clock)}
            return


def _closed(walk: SeriesWalk, candle_time: int) -> int:
    """When a candle of a walk has closed."""
    return walk.series.timeframe.close_of(candle_time)


def _start(spec: StreamSpec, walks: Sequence[SeriesWalk]) -> dict[str, Any]:
    return {
        "type": "start",
        "schema_version": SCHEMA_VERSION,
        "clock": spec.clock,
        "window_candles": spec.window,
        "series": [_standing(walk) for walk in walks],
    }


def _standing(walk: SeriesWalk) -> dict[str, Any]:
    """A series at the bar where its walk stands."""
    state: dict[str, Any] = {
        "series_id": str(walk.series),
        "timeframe_s": walk.series.timeframe.seconds,
        "time": walk.time,
        "candles": _columns(walk.series, [] if walk.candle is None else [walk.candle]),
        "draw": _drawn(list(walk.drawn.shown.values())),
        "points": walk.points,
    }
    if walk.with_factors:
        state["factors"] = {
            name: {"history": seen.history, "head": seen.head}
            for name, seen in walk.factors.shown.items()
        }
    return state


def _part(series: SeriesId, bars: Sequence[Bar]) -> dict[str, Any]:
    """The bars of one series in a window: candles as columns, and what each bar changes."""
    changes = [_change(place, bar) for place, bar in enumerate(bars)]
    part: dict[str, Any] = {
        "candles": _columns(series, [bar.candle for bar in bars]),
        "changes": [each for each in changes if len(each) > 1],
    }
    rows = [row for bar in bars for row in bar.factor_rows]
    return part | {"factor_changes": rows} if rows else part


def _change(place: int, bar: Bar) -> dict[str, Any]:
    change: dict[str, Any] = {"at": place}
    drawn = bar.drawn
    if drawn.drawn:
        change["draw"] = _drawn(drawn.drawn)
    if drawn.points:
        change["points"] = {each.instruction_id: each.definition["value"] for each in drawn.points}
    if drawn.removed:
        change["remove"] = drawn.removed
    return change


def _drawn(versions: Sequence[InstructionVersion]) -> list[dict[str, Any]]:
    return [
        {"instruction_id": each.instruction_id, "definition": each.definition}
        for each in sorted(versions)
    ]


def _columns(series: SeriesId, candles: Sequence[Candle]) -> dict[str, list[Any]]:
    names = ("time", "open", "high", "low", "close", "volume")
    columns = {name: [each[place] for each in candles] for place, name in enumerate(names)}
    if series.timeframe.calendar is not None:
        # A client can't know them by the length of the timeframe.
        columns["close_time"] = [series.timeframe.close_of(each.candle_time) for each in candles]
    return columns


def _line(content: dict[str, Any]) -> bytes:
    return as_json(content) + b"\n"
