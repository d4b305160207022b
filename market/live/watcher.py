"""A connected client as the hub sees it."""

from __future__ import annotations

from market.domain.series import SeriesId
from market.live.frames import Frame
from market.live.wires.port import Wire


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

    def release_forming(self) -> None:
        """Send the held forming candles if there is room again."""
        if not self.wire.is_behind:
            held, self._held = self._held, {}
            for frame in held.values():
                self.wire.send(frame)
