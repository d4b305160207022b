"""A request for drawings, parsed: the key of the answer cache, and how it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from django.core.exceptions import SuspiciousOperation
from django.http import QueryDict

from market.api.checks import check_query
from market.api.errors import ApiError
from market.domain.series import SeriesId
from overlays.api.requests import DrawDeltaQuery, FrameQuery, LiveFrameQuery, PollQuery
from overlays.reads import Answer, Reads

DELTA = "/api/draw/delta"
LIVE = "/api/frame/live"
AT_TIME = "/api/frame/at_time"
POLL = "/api/delta/poll"

# Together they bound what remembered query strings take.
MAX_REMEMBERED = 1024
MAX_REMEMBERED_BYTES = 512


@dataclass(frozen=True, slots=True)
class DrawQuery:
    """What is asked of a series' drawings at one of the paths above."""

    path: str
    series: SeriesId
    window: int
    cursor: int = 0
    at_time: int | None = None
    with_slices: bool = False

    def read(self, reads: Reads) -> Answer:
        """The answer as it is stored now; raises what the reads raise."""
        series, window = self.series, self.window
        if self.path == LIVE:
            return reads.frame_live(series, window=window, with_slices=self.with_slices)
        if self.path == POLL:
            return reads.poll(
                series, after_id=self.cursor, window=window, with_slices=self.with_slices
            )
        if self.path == DELTA:
            return reads.delta(series, cursor=self.cursor, window=window, at_time=self.at_time)
        assert self.at_time is not None
        return reads.frame_at(series, self.at_time, window=window, with_slices=self.with_slices)


def draw_query(path: str, parameters: Mapping[str, str]) -> DrawQuery:
    """The query that these parameters make; unknown ones are ignored.

    Raises ApiError 422 and SeriesIdError.
    """
    if path == DELTA:
        delta = check_query(DrawDeltaQuery, parameters)
        series = SeriesId.parse(delta.series_id)
        cursor = delta.cursor_version_id
        return DrawQuery(path, series, delta.window_candles, cursor, delta.at_time)
    if path == LIVE:
        live = check_query(LiveFrameQuery, parameters)
        series, with_slices = SeriesId.parse(live.series_id), live.factor_slices
        return DrawQuery(path, series, live.window_candles, with_slices=with_slices)
    if path == POLL:
        poll = check_query(PollQuery, parameters)
        series, with_slices = SeriesId.parse(poll.series_id), poll.factor_slices
        return DrawQuery(path, series, poll.window_candles, poll.after_id, with_slices=with_slices)
    frame = check_query(FrameQuery, parameters)
    series, at_time = SeriesId.parse(frame.series_id), frame.at_time
    return DrawQuery(
        path, series, frame.window_candles, at_time=at_time, with_slices=frame.factor_slices
    )


def query_of(path: str, query_string: bytes) -> DrawQuery | None:
    """The query that a query string makes; None for one that has to be refused."""
    if len(query_string) > MAX_REMEMBERED_BYTES:
        return _parsed(path, query_string)
    return _remembered(path, query_string)


def _parsed(path: str, query_string: bytes) -> DrawQuery | None:
    try:
        query = draw_query(path, QueryDict(query_string.decode()))
        # Whether another name of a series can be read depends on the store.
        return query if query.series.is_canonical else None
    except (ApiError, SuspiciousOperation, ValueError):
        return None


_remembered = lru_cache(MAX_REMEMBERED)(_parsed)
