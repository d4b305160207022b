"""WebSocket frames for candles, gaps, notices and errors.

A frame is built and encoded once, and the same bytes are sent to every watcher that needs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import orjson

from market.domain.candle import Candle
from market.domain.change import Notice
from market.domain.series import SeriesId
from market.live.messages import (
    CandleClosed,
    CandleForming,
    CandlesBatch,
    Gap,
    SocketError,
    SocketErrorCode,
)

# The first byte of a frame: a text that does not continue.
TEXT_FRAME = 0x81


@dataclass(frozen=True, slots=True)
class Frame:
    """One or more messages, as JSON texts and as the bytes of an uncompressed WebSocket.

    `types` counts the messages of each type.
    """

    texts: tuple[str, ...]
    data: bytes
    types: Mapping[str, int]

    @staticmethod
    def of(*messages: Mapping[str, object]) -> Frame:
        """Encode messages that are sent one after the other."""
        bodies = [orjson.dumps(message) for message in messages]
        types: dict[str, int] = {}
        for message in messages:
            kind = str(message.get("type"))
            types[kind] = types.get(kind, 0) + 1
        data = b"".join(map(_framed, bodies))
        return Frame(tuple(body.decode() for body in bodies), data, types)


def _framed(body: bytes) -> bytes:
    """An unmasked WebSocket frame with a whole text (RFC 6455, section 5.2)."""
    # Most frames hold one candle, and the library takes longer to frame it than to encode it.
    size = len(body)
    if size < 126:
        return b"%c%c%b" % (TEXT_FRAME, size, body)
    if size < 65_536:
        return b"%c~%b%b" % (TEXT_FRAME, size.to_bytes(2), body)
    return b"%c\x7f%b%b" % (TEXT_FRAME, size.to_bytes(8), body)


def closed_frame(
    series: SeriesId, cursor: int | None, candles: Sequence[Candle], *, supports_batch: bool
) -> Frame:
    """Closed candles for a watcher whose newest is `cursor`, with a `gap` for each gap.

    Gaps inside a batch come before it; single candles have theirs directly before them. A cursor of
    0 or None is before all candles and makes no gap.
    """
    if supports_batch and len(candles) > 1:
        batch: CandlesBatch = {
            "type": "candles_batch",
            "series_id": str(series),
            "candles": [candle.as_object() for candle in candles],
        }
        return Frame.of(*_gaps(series, cursor, candles), batch)
    messages: list[Gap | CandleClosed] = []
    for candle in candles:
        messages += _gaps(series, cursor, [candle])
        closed: CandleClosed = {
            "type": "candle_closed",
            "series_id": str(series),
            "candle": candle.as_object(),
        }
        messages.append(closed)
        cursor = candle.candle_time
    return Frame.of(*messages)


def forming_frame(series: SeriesId, candle: Candle) -> Frame:
    """The open candle."""
    message: CandleForming = {
        "type": "candle_forming",
        "series_id": str(series),
        "candle": candle.as_object(),
    }
    return Frame.of(message)


def system_frame(series: SeriesId, notice: Notice) -> Frame:
    """A notice for the watchers of a series."""
    return Frame.of(
        {
            "type": "system",
            "series_id": str(series),
            "event": notice.event,
            "message": notice.message,
            "data": notice.data,
        }
    )


def error_frame(
    code: SocketErrorCode,
    message: str,
    series: SeriesId | None = None,
    *,
    canonical: SeriesId | None = None,
) -> Frame:
    """An error that does not close the connection."""
    body: SocketError = {"type": "error", "code": code, "message": message}
    if series is not None:
        body["series_id"] = str(series)
    if canonical is not None:
        body["canonical_series_id"] = str(canonical)
    return Frame.of(body)


def _gaps(series: SeriesId, cursor: int | None, candles: Sequence[Candle]) -> Iterator[Gap]:
    step = series.timeframe.seconds
    for candle in candles:
        if cursor is not None and 0 < cursor < candle.candle_time - step:
            yield {
                "type": "gap",
                "series_id": str(series),
                "expected_next_time": series.timeframe.close_of(cursor),
                "actual_time": candle.candle_time,
            }
        cursor = candle.candle_time
