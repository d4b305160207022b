"""A connected client as the hub sees it."""

from __future__ import annotations

import asyncio

from market.domain.series import SeriesId
from market.live.frames import Frame
from market.live.wires.port import SLOW_CONSUMER, SLOW_CONSUMER_REASON, Wire

# A watcher that is behind has this long to make room for its catch-up.
ROOM_TIMEOUT_S = 30.0


class Watcher:
    """One connection: its wire, and the newest forming candle of each series it could not take."""

    __slots__ = ("_held", "wire")

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._held: dict[SeriesId, Frame] = {}

    @property
    def holds_forming(self) -> bool:
        """Whether forming candles wait until the watcher has room."""
        return bool(self._held)

    def send_closed(self, series: SeriesId, frame: Frame) -> None:
        """Send closed candles, and drop a held forming candle of the series: it is older."""
        if self._held:
            self._held.pop(series, None)
        self.wire.send(frame)

    def send_forming(self, series: SeriesId, frame: Frame) -> None:
        """Send the forming candle, or hold it as the newest while the watcher is behind."""
        if not self.wire.offer(frame):
            self._held[series] = frame

    async def wait_for_room(self) -> None:
        """Wait until the watcher has read enough of what was sent; close it if it does not."""
        deadline = asyncio.get_running_loop().time() + ROOM_TIMEOUT_S
        while self.wire.is_open and self.wire.is_behind:
            if asyncio.get_running_loop().time() > deadline:
                self.wire.close(SLOW_CONSUMER, SLOW_CONSUMER_REASON)
            await asyncio.sleep(0.02)

    def release_forming(self) -> None:
        """Send the held forming candles if there is room again."""
        if not self.wire.is_behind:
            held, self._held = self._held, {}
            for frame in held.values():
                self.wire.send(frame)
