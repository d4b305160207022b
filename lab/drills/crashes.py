"""Processes and servers that die, and the orderly replacement of all of them."""

from __future__ import annotations

import time

from lab.capacity.topology import wait_for
from lab.drills.catalogue import drill
from lab.drills.ground import Ground
from lab.drills.posting import POSTED, posting

DOWN_S = 5.0
TAKE_OVER_S = 60.0
CROWD = 1000


@drill("kill-web", "kill -9 of a web process")
def kill_web(ground: Ground, title: str) -> None:
    """Its watchers go to the other one; it is started again later."""
    web = ground.installation.webs[0]
    with ground.watched(title) as watch:
        watch.hit()
        web.kill()
        watch.over()
        time.sleep(DOWN_S)
        web.start().wait_until_ready()


@drill("kill-worker", "kill -9 of the worker that follows")
def kill_worker(ground: Ground, title: str) -> None:
    """The other one takes over once the dead one's lock has run out."""
    worker = ground.installation.owner()
    with ground.watched(title) as watch:
        watch.hit()
        worker.kill()
        watch.over()
        others = [each for each in ground.installation.workers if each is not worker]
        wait_for(lambda: ground.installation.owner() in others, TAKE_OVER_S, "another worker")
    worker.start().wait_until_ready()


@drill("pause-worker", "the worker that follows is suspended for 30 s (SIGSTOP)")
def pause_worker(ground: Ground, title: str) -> None:
    """It wakes up believing that it still owns the series: its writes must be refused."""
    worker = ground.installation.owner()
    with ground.watched(title) as watch:
        watch.hit()
        worker.pause()
        watch.over()
        time.sleep(30)
        worker.resume()


@drill("kill-beat", "kill -9 of both beats, back after 10 s")
def kill_beats(ground: Ground, title: str) -> None:
    """What is followed goes on; only new series would have to wait."""
    beats = ground.installation.beats
    with ground.watched(title) as watch:
        watch.hit()
        for beat in beats:
            beat.kill()
        time.sleep(2 * DOWN_S)
        watch.over()
        for beat in beats:
            beat.start().wait_until_ready()


@drill("kill-valkey", "kill -9 of Valkey, back after 5 s")
def kill_valkey(ground: Ground, title: str) -> None:
    """Hubs read the store meanwhile; workers, leases and locks come back by themselves."""
    with ground.watched(title) as watch:
        watch.hit()
        ground.installation.valkey.kill()
        time.sleep(DOWN_S)
        ground.installation.valkey.start()
        watch.over()


@drill("kill-postgres", "kill -9 of PostgreSQL, back at once")
def kill_postgres(ground: Ground, title: str) -> None:
    """Candles are posted besides: what was acknowledged must be there afterwards."""
    with ground.watched(title) as watch:
        with posting(ground.installation) as acknowledged:
            wait_for(lambda: len(acknowledged) > 10, TAKE_OVER_S, "candles to be taken")
            watch.hit()
            ground.installation.postgres.kill()
            ground.installation.postgres.start()
            watch.over()
            before = len(acknowledged)
            wait_for(lambda: len(acknowledged) > before + 10, TAKE_OVER_S, "candles to be taken")
        stored = ground.installation.stored(POSTED, 0, acknowledged[-1])
        watch.expect(set(acknowledged) <= stored.keys(), "acknowledged candles are gone")
        watch.note(f"{len(acknowledged)} posted candles acknowledged, all there")


@drill("restart-postgres", "PostgreSQL is restarted, down for 5 s")
def restart_postgres(ground: Ground, title: str) -> None:
    """An upgrade of the server, say."""
    with ground.watched(title) as watch:
        watch.hit()
        ground.installation.postgres.stop()
        time.sleep(DOWN_S)
        ground.installation.postgres.start()
        watch.over()


@drill("rolling-restart", "every process restarted one by one, 1,000 watchers")
def rolling_restart(ground: Ground, title: str) -> None:
    """A deploy: webs, workers and beats end in an orderly way and are replaced."""
    with ground.watched(title, watchers=CROWD) as watch:
        watch.hit()
        began = time.monotonic()
        for program in ground.installation.programs:
            program.restart()
        watch.note(f"took {time.monotonic() - began:.0f} s")
        watch.over()
