"""The drawings of a page: read once, then changed by messages (docs/ws-protocol.md, Drawings).

A thousand pages receive the same bytes, so a message is parsed and applied once for all pages of a
process that show the same.
"""

from __future__ import annotations

import asyncio
import gzip
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import orjson

FRAME, POLL, PAST = "/api/frame/live", "/api/delta/poll", "/api/frame/at_time"
CURSOR_HEADER = "X-Draw-Cursor"
MISSED = "draw messages missed"
WINDOW = "2000"
SPREAD_S = 0.25
LATE_S = 5.0
BEHIND_S, EMPTY_S, FAILED_S = 0.2, 30.0, 1.0
BEHIND_TRIES = 6
BEHIND_LATER_S = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer over HTTP: status (0 without one), body as it came, headers."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Changed = Callable[[int, float, bool], None]


class Requests(Protocol):
    """Sends a page's requests."""

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Answer:
        """Request something; status 0 without an answer."""


@dataclass(slots=True, eq=False)
class Shown:
    """Drawings at a cursor: the version number of every instruction that is shown, by its id.

    Points of lines that grow are not kept: no factor of ours draws one.
    """

    cursor: int
    to_time: int
    versions: Mapping[str, int]
    _next: tuple[bytes, Shown] | None = None

    def changed_by(self, payload: bytes) -> Shown:
        """Return the drawings after a `draw_delta` that follows on these."""
        if self._next is None or self._next[0] != payload:
            body = orjson.loads(payload)
            versions = {**self.versions, **_numbers(body["instruction_catalog_patch"])}
            for gone in body["removed_ids"]:
                versions.pop(gone, None)
            self._next = payload, Shown(body["cursor"], body["to_candle_time"], versions)
        return self._next[1]


@dataclass(frozen=True, slots=True)
class DrawMessage:
    """The part of a `draw_delta` or `draw_cursor` that shows what to do with it."""

    cursor: int | None
    previous: int | None
    """None: a `draw_cursor`."""


@lru_cache(maxsize=512)
def draw_message(payload: bytes) -> DrawMessage:
    """Parse a message about drawings."""
    body = orjson.loads(payload)
    return DrawMessage(body["cursor"], body.get("previous_cursor"))


@lru_cache(maxsize=256)
def shown_in(body: bytes, cursor: int | None) -> Shown:
    """Parse a frame; `cursor` is from the answer's headers."""
    state = orjson.loads(plain(body))["draw_state"]
    found = _numbers(state["instruction_catalog_patch"])
    number = state["next_cursor"]["version_id"] if cursor is None else cursor
    versions = {name: found.get(name, 0) for name in state["active_ids"]}
    return Shown(number, state["to_candle_time"], versions)


@lru_cache(maxsize=256)
def shown_after(before: Shown, body: bytes) -> Shown:
    """Return the drawings after the answer to a poll."""
    answer = orjson.loads(plain(body))
    if not answer["records"]:
        return before
    record = answer["records"][-1]
    delta = record["draw_delta"]
    found = {**before.versions, **_numbers(delta["instruction_catalog_patch"])}
    versions = {name: found.get(name, 0) for name in delta["active_ids"]}
    return Shown(answer["next_cursor"]["id"], record["to_candle_time"], versions)


def plain(body: bytes) -> bytes:
    """Return a body without its compression."""
    return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body


def _numbers(patch: list[dict[str, Any]]) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for version in patch:
        name, number = version["instruction_id"], version["version_id"]
        numbers[name] = max(number, numbers.get(name, 0))
    return numbers


class BrowserDrawings:
    """Keeps the drawings of one page and series in step with the server.

    `changed` is called after each change with the newest candle that is drawn, the time of arrival
    (both in Unix seconds), and whether it came over the socket.
    """

    def __init__(
        self,
        series: str,
        requests: Requests,
        *,
        counts: Counter[str],
        changed: Changed,
    ) -> None:
        self.shown: Shown | None = None
        self._series = series
        self._requests = requests
        self._counts = counts
        self._changed = changed
        self._due = asyncio.Event()
        self._is_reading = False
        self._awaits_cursor = True
        self._late: asyncio.TimerHandle | None = None
        self._kept: list[tuple[bytes, float]] = []

    @property
    def cursor(self) -> int:
        """The cursor to subscribe with."""
        return 0 if self.shown is None else self.shown.cursor

    def begin_read(self) -> None:
        """Read a frame soon, or what is new since the last read."""
        self._due.set()

    def rewritten(self) -> None:
        """What was read does not hold any more: read a frame."""
        self.shown = None
        self._awaits_cursor = True
        self.begin_read()

    def subscribed(self) -> None:
        """A subscribe was sent; the first `draw_cursor` after it may be ahead of what was read."""
        self._awaits_cursor = True

    def candle_closed(self, time_: int) -> None:
        """A closed candle came: its drawings are asked for if they do not come soon."""
        if self._late is None and not self._awaits_cursor:
            loop = asyncio.get_running_loop()
            self._late = loop.call_later(LATE_S, self._look_for, time_)

    def close(self) -> None:
        """Look for nothing more."""
        if self._late is not None:
            self._late.cancel()

    def received(self, payload: bytes, at: float) -> None:
        """Take a `draw_delta` or `draw_cursor`, after the read that is under way."""
        if self._is_reading or self._due.is_set() or self.shown is None:
            self._kept.append((payload, at))
            return
        message = draw_message(payload)
        if message.previous is None:
            self._compare(message.cursor)
        elif message.cursor is not None and message.cursor > self.shown.cursor:
            if message.previous == self.shown.cursor:
                self._show(self.shown.changed_by(payload), at, over_socket=True)
            elif message.previous < self.shown.cursor:
                # What was read is amid what this changes: nothing is missing before it.
                self.begin_read()
            else:
                self._miss()

    async def follow(self) -> None:
        """Read whenever it is due, and apply what came meanwhile; runs until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            self._is_reading = True
            if self.shown is not None:
                await asyncio.sleep(SPREAD_S * random.random())
            conflicts = 0
            while (status := await self._read()) != 200:
                conflicts += status == 409
                pause = {409: _pause_after(conflicts), 404: EMPTY_S}.get(status, FAILED_S)
                await asyncio.sleep(pause * random.uniform(0.75, 1.25))
            self._is_reading = False
            kept, self._kept = self._kept, []
            for payload, at in kept:
                self.received(payload, at)

    async def _read(self) -> int:
        """Send one request and take over its answer; return the status."""
        before = self.shown
        query = {"series_id": self._series, "window_candles": WINDOW, "factor_slices": "false"}
        if before is None:
            answer = await self._requests.get(FRAME, query)
        else:
            answer = await self._requests.get(POLL, {**query, "after_id": str(before.cursor)})
        if answer.status == 200:
            number = answer.headers.get(CURSOR_HEADER)
            if before is None:
                found = shown_in(answer.body, int(number) if number else None)
            else:
                found = shown_after(before, answer.body)
            self._show(found, time.time(), over_socket=False)
        return answer.status

    def _compare(self, cursor: int | None) -> None:
        """Read what is new when the server is at another cursor."""
        if cursor is None:
            self._awaits_cursor = True
            return
        is_expected, self._awaits_cursor = self._awaits_cursor, False
        if cursor <= self.cursor:
            return
        if is_expected:
            self.begin_read()
        else:
            self._miss()

    def _look_for(self, time_: int) -> None:
        self._late = None
        is_behind = self.shown is not None and self.shown.to_time < time_
        if is_behind and not self._awaits_cursor and not self._is_reading:
            self._miss()

    def _miss(self) -> None:
        self._counts[MISSED] += 1
        self.begin_read()

    def _show(self, shown: Shown, at: float, *, over_socket: bool) -> None:
        self.shown = shown
        self._changed(shown.to_time, at, over_socket)


def _pause_after(conflicts: int) -> float:
    """Return seconds until the next request while the server is still drawing."""
    return BEHIND_S * conflicts if conflicts <= BEHIND_TRIES else BEHIND_LATER_S
