"""Processes that die, are suspended or replaced, clocks that jump, and watchers that misbehave."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

from websockets.frames import Frame, Opcode

from lab.drills.ground import Watch, drill, following_worker
from lab.installation import Installation
from lab.program import Program
from lab.sockets import handshake
from lab.waiting import wait_until

DOWN_S = 5.0
TAKE_OVER_S = 30.0
SUSPENDED_S = 30.0
CROWD = 1000
CLOCK_OFFSET_S = 300.0
CLOCK_STEP_S = 15.0

SLOW = 20
SLOW_S = 60
SLOW_CONNECT_S = 10.0
SLOW_BUFFER = 4096
# Their answers together are far more than the buffers on the way take.
SLOW_QUESTIONS = 40
MIB = 1 << 20
# An outbox each (WS_OUTBOX_BYTES), and the process's ordinary ups and downs.
MOST_GROWTH = SLOW * 4 * MIB + 64 * MIB


@drill("kill-web", "kill -9 of a web process")
def kill_web(installation: Installation, watch: Watch) -> None:
    """Its watchers resume at the other one; it is started again later."""
    web = installation.webs[0]
    with watch.fault():
        web.kill()
    time.sleep(DOWN_S)
    web.start().wait_ready()


@drill("kill-worker", "kill -9 of the worker that follows")
def kill_worker(installation: Installation, watch: Watch) -> None:
    """The other one takes over once the dead one's lock has expired."""
    worker = following_worker(installation)
    with watch.fault():
        worker.kill()
    wait_until(
        lambda: following_worker(installation) is not worker,
        TAKE_OVER_S,
        "another worker to follow",
    )


@drill("pause-worker", "the worker that follows is suspended for 30 s (SIGSTOP)")
def pause_worker(installation: Installation, watch: Watch) -> None:
    """It continues as if it still owned the series: its writes must be refused."""
    worker = following_worker(installation)
    with watch.fault():
        worker.pause()
    time.sleep(SUSPENDED_S)
    worker.resume()


@drill("kill-beat", "kill -9 of both beats, back after 10 s")
def kill_beats(installation: Installation, watch: Watch) -> None:
    """What is followed goes on; only new series would have to wait."""
    with watch.fault():
        for beat in installation.beats:
            beat.kill()
        time.sleep(2 * DOWN_S)
    for beat in installation.beats:
        beat.start().wait_ready()


@drill("rolling-restart", "every process restarted one by one, 1,000 watchers", watchers=CROWD)
def rolling_restart(installation: Installation, watch: Watch) -> None:
    """A deployment: webs, workers and beats end in an orderly way and are replaced."""
    with watch.fault():
        began = time.monotonic()
        for program in installation.services:
            program.restart()
        watch.note(f"took {time.monotonic() - began:.0f} s")


def _jump(watch: Watch, programs: Iterable[Program]) -> None:
    with watch.fault():
        for offset_s in (CLOCK_OFFSET_S, -CLOCK_OFFSET_S, 0.0):
            for program in programs:
                program.set_clock(offset_s)
            if offset_s:
                time.sleep(CLOCK_STEP_S)


@drill("clock-all", "all of our clocks 5 min fast, 5 min slow, then right")
def all_clocks(installation: Installation, watch: Watch) -> None:
    """Candles go by the exchange's clock."""
    _jump(watch, installation.services)


@drill("clock-web", "one web process 5 min fast, 5 min slow, then right")
def web_clock(installation: Installation, watch: Watch) -> None:
    """It may withhold what it takes for open, and nothing else."""
    _jump(watch, installation.webs[:1])


@drill("clock-worker", "the worker that follows 5 min fast, 5 min slow, then right")
def worker_clock(installation: Installation, watch: Watch) -> None:
    """Locks go by Valkey's clock."""
    _jump(watch, [following_worker(installation)])


@drill("clock-beat", "both beats 5 min slow while the worker that follows is killed")
def beat_clocks(installation: Installation, watch: Watch) -> None:
    """Tasks carry an expiry: one that a slow clock wrote must not be dropped by a right one."""
    worker = following_worker(installation)
    for beat in installation.beats:
        beat.set_clock(-CLOCK_OFFSET_S)
    with watch.fault():
        worker.kill()


@drill("slow-watchers", "20 watchers that read 1 byte a second")
def slow_watchers(installation: Installation, watch: Watch) -> None:
    """They are to be disconnected without any effect on the others."""
    web = installation.webs[0]
    memory, files = web.memory(), web.open_files()
    growth, left, seconds = 0, SLOW, 0
    with ExitStack() as opened, watch.fault():
        readers = [
            opened.enter_context(_slow_reader(web.url, installation.series[0])) for _ in range(SLOW)
        ]
        # What they were sent stays with the kernel: only the server knows that they are gone.
        while left > 0 and seconds < SLOW_S:
            for reader in readers:
                with suppress(OSError):
                    reader.recv(1)
            time.sleep(1)
            seconds += 1
            growth = max(growth, web.memory() - memory)
            left = web.open_files() - files
    watch.note(f"all thrown out after {seconds} s")
    watch.note(f"the web process grew by {growth / MIB:.0f} MiB at most")
    watch.expect(left <= 0, f"{left} slow watchers are still connected")
    watch.expect(growth < MOST_GROWTH, "slow watchers cost too much memory")


def _slow_reader(url: str, series: str) -> socket.socket:
    """A connection that asks for the whole history many times, with a tiny receive buffer."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER)
    client.settimeout(SLOW_CONNECT_S)
    address = urlsplit(url)
    client.connect((str(address.hostname), int(address.port or 0)))
    client.sendall(handshake(url, "/ws/market"))
    question = json.dumps({"type": "subscribe", "series_id": series, "since": 0}).encode()
    client.sendall(Frame(Opcode.TEXT, question).serialize(mask=True) * SLOW_QUESTIONS)
    client.setblocking(False)
    return client


@drill("storm", "1,000 watchers lose their connection at once and come back", watchers=CROWD)
def storm(installation: Installation, watch: Watch) -> None:
    """As when a proxy is restarted."""
    with watch.fault():
        installation.front.reset()
