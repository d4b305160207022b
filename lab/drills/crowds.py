"""Watchers that are the fault: those that do not read, and all of them at once."""

from __future__ import annotations

import time

from lab.drills.catalogue import drill
from lab.drills.ground import Ground
from lab.drills.slow_readers import SlowReaders

SLOW = 20
SLOW_S = 60
MIB = 1 << 20
# An outbox each (WS_OUTBOX_BYTES), and the process's ordinary ups and downs.
MOST_GROWTH = SLOW * 4 * MIB + 64 * MIB
CROWD = 1000


@drill("slow-watchers", "20 watchers that read 1 byte a second")
def slow_watchers(ground: Ground, title: str) -> None:
    """They are to be thrown out, and nobody else is to notice."""
    web = ground.installation.webs[0]
    memory = web.memory()
    with ground.watched(title) as watch:
        files = web.open_files()
        watch.hit()
        with SlowReaders(web.url, ground.installation.series[0], SLOW) as readers:
            growth, left, seconds = 0, SLOW, 0
            # What they were sent stays with the kernel: only the server knows that they are gone.
            while left > 0 and seconds < SLOW_S:
                readers.read_a_byte_each()
                time.sleep(1)
                seconds += 1
                growth = max(growth, web.memory() - memory)
                left = web.open_files() - files
        watch.over()
        watch.note(f"all thrown out after {seconds} s")
        watch.note(f"the web process grew by {growth / MIB:.0f} MiB at most")
        watch.expect(left <= 0, f"{left} slow watchers are still connected")
        watch.expect(growth < MOST_GROWTH, "slow watchers cost too much memory")


@drill("storm", "1,000 watchers lose their connection at once and come back")
def storm(ground: Ground, title: str) -> None:
    """As when a proxy is restarted."""
    with ground.watched(title, watchers=CROWD) as watch:
        watch.hit()
        ground.installation.front.reset()
        watch.over()
