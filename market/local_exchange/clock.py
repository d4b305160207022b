"""The exchange's own clock: wall time, or a virtual time that starts elsewhere or runs faster."""

from __future__ import annotations

import time


class Clock:
    """Answers what time it is at the exchange, in milliseconds UTC.

    With neither `origin_ms` nor a speed it follows the wall clock. Otherwise it starts at
    `origin_ms` (or now) and runs `speed` times as fast. `skew_ms` shifts it, for faults.
    """

    def __init__(self, *, origin_ms: int | None = None, speed: float = 1.0) -> None:
        if speed <= 0:
            raise ValueError("speed must be above 0")
        self.speed = speed
        self.skew_ms = 0
        self._follows_wall = origin_ms is None and speed == 1.0
        self._origin_ms = time.time() * 1000 if origin_ms is None else origin_ms
        self._started = time.monotonic()

    def now_ms(self) -> int:
        """The exchange's time."""
        if self._follows_wall:
            return int(time.time() * 1000) + self.skew_ms
        passed = (time.monotonic() - self._started) * 1000 * self.speed
        return int(self._origin_ms + passed) + self.skew_ms

    def seconds_until(self, moment_ms: float) -> float:
        """How long to really wait until the exchange's clock shows `moment_ms`; never below 0."""
        return max(0.0, (moment_ms - self.now_ms()) / 1000 / self.speed)
