"""The drawings of one series as a page keeps them, by the rules of docs/ws-protocol.md.

`read` is the client's GET: it returns the body and the headers of an answer that must succeed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Read = Callable[[str, Mapping[str, str]], Awaitable[tuple[dict[str, Any], Mapping[str, str]]]]

LIVE = "/api/frame/live"
POLL = "/api/delta/poll"

REWRITTEN = frozenset({"candle.revised", "factor.rebuild"})


class DrawnView:
    """Shows instructions by id, and points of lines; `reads` names the paths that were asked."""

    def __init__(self, series: str, read: Read) -> None:
        self.shown: dict[str, Any] = {}
        self.points: dict[str, dict[int, float]] = {}
        self.cursor = 0
        self.time: int | None = None
        self.reads: list[str] = []
        self._series = series
        self._read = read
        self._generation: str | None = None

    async def begin(self) -> None:
        """Read everything."""
        body, headers = await self._ask(LIVE)
        self.cursor = int(headers["X-Draw-Cursor"])
        self._generation = headers["X-Series-Generation"]
        self.shown.clear()
        self.points.clear()
        self._apply(body["draw_state"])

    async def take(self, message: Mapping[str, Any]) -> None:
        """Take over a message of the server; read what it says is missing."""
        kind = message["type"]
        if kind == "system" and message["event"] in REWRITTEN:
            await self.begin()
        elif kind == "draw_cursor" and message["cursor"] is not None:
            if message["generation"] != self._generation:
                await self.begin()
            elif message["cursor"] > self.cursor:
                await self._poll()
        elif kind == "draw_delta" and message["cursor"] > self.cursor:
            if message["generation"] != self._generation:
                await self.begin()
            elif message["previous_cursor"] != self.cursor:
                await self._poll()
            else:
                self._change(message)

    def _change(self, message: Mapping[str, Any]) -> None:
        self._merge(message)
        for name in message["removed_ids"]:
            self.shown.pop(name, None)
            self.points.pop(name, None)
        self.cursor, self.time = message["cursor"], message["to_candle_time"]

    async def _poll(self) -> None:
        body, _ = await self._ask(POLL, after_id=str(self.cursor))
        for record in body["records"]:
            self._apply(record["draw_delta"])
        self.cursor = body["next_cursor"]["id"]

    def _apply(self, delta: Mapping[str, Any]) -> None:
        """Take over a draw delta of the API, whose `active_ids` are complete."""
        self._merge(delta)
        self.shown = {name: self.shown[name] for name in delta["active_ids"]}
        self.time = delta["to_candle_time"]

    def _merge(self, delta: Mapping[str, Any]) -> None:
        for version in delta["instruction_catalog_patch"]:
            name, time = version["instruction_id"], version["visible_time"]
            self.shown[name] = version["definition"]
            kept = self.points.get(name, {}).items()
            self.points[name] = {at: value for at, value in kept if at < time}
        for name, points in delta.get("series_points", {}).items():
            self.points.setdefault(name, {}).update(points)

    async def _ask(self, path: str, **query: str) -> tuple[dict[str, Any], Mapping[str, str]]:
        self.reads.append(path)
        return await self._read(
            path, {"series_id": self._series, "factor_slices": "false", **query}
        )
