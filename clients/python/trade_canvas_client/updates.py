"""What `follow` reports, one type each; match on them."""

from __future__ import annotations

from dataclasses import dataclass

from trade_canvas_client.columns import Candle, Candles


@dataclass(frozen=True, slots=True)
class Closed:
    """The next closed candle, later than every one before; only `Reset` goes back."""

    candle: Candle


@dataclass(frozen=True, slots=True)
class Forming:
    """The open candle as it is now; for display only, it may change until it is `Closed`."""

    candle: Candle


@dataclass(frozen=True, slots=True)
class Gap:
    """The server has no candles from `start` up to before `end`, the next candle's time.

    Should they be found later, a `Revised` follows. Of months, and of days and weeks of a zone,
    `start` is at or before the open time of the first that is missing.
    """

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Revised:
    """Stored candles from `from_time` on changed, or were added behind the newest one.

    `candles` are all from there up to the newest `Closed` one as they are now: replace what you
    have. They begin at the oldest time that you hold (`start` of `follow`).
    """

    from_time: int
    candles: Candles


@dataclass(frozen=True, slots=True)
class Reset:
    """The store has another past (a restore, a failover that lost its end): drop all you have.

    `candles` are those from the oldest time that you hold up to the newest one of this past; the
    next `Closed` is later than they are, but may be earlier than candles before the reset.
    """

    candles: Candles


@dataclass(frozen=True, slots=True)
class FactorsRebuilt:
    """Factor events and drawings from `from_time` on were computed again: read them again."""

    from_time: int


@dataclass(frozen=True, slots=True)
class Live:
    """The connection stands after a catch-up: what closes from now on is reported as it comes."""

    newest: int | None
    """The time of the newest closed candle; None while the series has none."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The connection was lost, or the server can't follow the series now. It is tried again."""

    reason: str
    retry_in_s: float


Update = Closed | Forming | Gap | Revised | Reset | FactorsRebuilt | Live | Interrupted
