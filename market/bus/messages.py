"""The messages of the bus, as plain mappings that every channel layer can carry.

A message of closed candles names its predecessor, the head of the series before them, so that a
hub notices a lost message; and the series' epoch, so that a message that arrives after a later
revision does not undo it. Both count within the store's generation, which a message names, too;
processes of an earlier version send none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from market.domain.candle import Candle
from market.domain.change import Change, Notice
from market.domain.series import SeriesId

# A bulk import in one message would be megabytes.
MAX_CANDLES = 1000


@dataclass(frozen=True, slots=True)
class ClosedCandles:
    """Closed candles after `predecessor`, ascending and without gaps in what is stored.

    `epoch` and `generation` are the series' and the store's at their commit.
    """

    series: SeriesId
    predecessor: int | None
    candles: tuple[Candle, ...]
    epoch: int
    generation: str | None = None


@dataclass(frozen=True, slots=True)
class FormingCandle:
    """The forming candle of a series: for display only."""

    series: SeriesId
    candle: Candle


@dataclass(frozen=True, slots=True)
class SystemNotice:
    """A notice for all watchers of a series, such as ``candle.revised``."""

    series: SeriesId
    notice: Notice
    generation: str | None = None


BusMessage = ClosedCandles | FormingCandle | SystemNotice


def group_of(series: SeriesId) -> str:
    """The channel layer's group of a series: group names are short and allow few characters."""
    return "series." + hashlib.blake2b(str(series).encode(), digest_size=16).hexdigest()


def messages_of(change: Change) -> Iterator[BusMessage]:
    """The messages of a committed change: its fresh candles in order, then its notices."""
    predecessor, (_, epoch, generation) = change.predecessor, change.state
    for start in range(0, len(change.fresh), MAX_CANDLES):
        candles = change.fresh[start : start + MAX_CANDLES]
        yield ClosedCandles(change.series, predecessor, candles, epoch, generation)
        predecessor = candles[-1].candle_time
    for notice in change.notices:
        yield SystemNotice(change.series, notice, generation)


def encode(message: BusMessage) -> dict[str, Any]:
    """The mapping of a message."""
    head = {"series_id": str(message.series)}
    if isinstance(message, ClosedCandles):
        rows = [list(candle) for candle in message.candles]
        return {
            "type": "closed",
            **head,
            "predecessor": message.predecessor,
            "candles": rows,
            "epoch": message.epoch,
            "generation": message.generation,
        }
    if isinstance(message, FormingCandle):
        return {"type": "forming", **head, "candle": list(message.candle)}
    notice = message.notice
    return {
        "type": "system",
        **head,
        "event": notice.event,
        "message": notice.message,
        "data": notice.data,
        "generation": message.generation,
    }


def decode(mapping: dict[str, Any]) -> BusMessage:
    """The message of a mapping; raises KeyError, TypeError or ValueError for a malformed one."""
    series, generation = SeriesId.parse(mapping["series_id"]), mapping.get("generation")
    if mapping["type"] == "closed":
        candles = tuple(Candle(*row) for row in mapping["candles"])
        epoch = int(mapping["epoch"])
        return ClosedCandles(series, mapping["predecessor"], candles, epoch, generation)
    if mapping["type"] == "forming":
        return FormingCandle(series, Candle(*mapping["candle"]))
    if mapping["type"] == "system":
        notice = Notice(mapping["event"], mapping["message"], mapping["data"])
        return SystemNotice(series, notice, generation)
    raise ValueError(f"unknown bus message: {mapping['type']!r}")
