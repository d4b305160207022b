"""The store's past changes while all is served: a failover that loses its tail, and a restore."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import sin
from pathlib import Path

from lab.drills.ground import TOKEN, Watch, drill
from lab.http import post
from lab.installation import Installation
from lab.line import Line
from lab.program import LabFailed
from lab.standby import promote, start_standby, wait_until_caught_up
from lab.viewer import Views
from lab.waiting import WaitTimeout, wait_until
from trade_canvas.embedded.account import server_account, server_directory
from trade_canvas.embedded.postgres import Postgres, programs_of
from trade_canvas.embedded.server import Place

KEPT = 200
"""Candles before the part of the past that is lost: enough for factors."""
FIRST, LOST, SECOND = 3, KEPT + 1, 7
"""Times that are revised before, and the candle that is lost."""
STORED_S = 30.0
EQUAL_S = 20.0
PROGRAM_S = 120.0
_numbers = itertools.count(1)


class Posted:
    """A series that is posted, with viewers and browser tabs of it at every web process."""

    def __init__(self, installation: Installation) -> None:
        # Of an exchange that is not served here: its candles are delivered, and not followed.
        self.series = f"binance:spot:PAST{next(_numbers)}/USDT:1s"
        self._installation = installation

    def post(self, time: int, close: float | None = None, *, web: int = 0) -> None:
        """Post a candle until it is acknowledged. Raises WaitTimeout."""
        close = 100 + 10 * sin(time / 7) if close is None else close
        prices = {"open": close, "high": close + 1, "low": close - 1, "close": close}
        candle = {"candle_time": time, **prices, "volume": 1.0}
        url = f"{self._installation.webs[web].url}/api/market/ingest/candle_closed"
        body = {"series_id": self.series, "candle": candle}
        headers = {"Authorization": f"Bearer {TOKEN}"}
        wait_until(
            lambda: post(url, body, headers=headers)[0] == 200,
            STORED_S,
            f"candle {time} to be taken",
        )

    def fill(self) -> None:
        """Post what both pasts have in common; the epoch is 1 afterwards."""
        for time in range(1, KEPT + 1):
            self.post(time)
        self.post(FIRST, 105.5)

    def post_lost(self) -> None:
        """Post a candle and a revision that only the lost past has."""
        self.post(LOST, 131.0)
        self.post(FIRST, 107.5)

    def post_others(self) -> None:
        """Post others in their place: the same head and epoch, but by the other web process.

        Then the first one goes on, whose memory is of the lost past.
        """
        self.post(LOST, 77.0, web=1)
        self.post(SECOND, 107.5, web=1)
        self.post(LOST + 1)

    @contextmanager
    def viewed(self) -> Iterator[Views]:
        """Viewers and tabs that have seen everything posted so far."""
        with Views([web.url for web in self._installation.webs], self.series) as views:
            wait_until(lambda: all(each.is_live for each in views.viewers), EQUAL_S, "viewers")
            self.require_equal(views)
            yield views

    def require_equal(self, views: Views) -> None:
        """Wait until everything shows what is stored. Raises LabFailed with what does not."""
        differing: list[str] = []

        def is_equal() -> bool:
            nonlocal differing
            differing = views.differing(self._installation.stored(self.series, 0, 2 * KEPT))
            return not differing

        try:
            wait_until(is_equal, EQUAL_S, "views to equal the store")
        except WaitTimeout as error:
            raise LabFailed(f"{error}: {'; '.join(differing[:4])}") from error


@drill(
    "failover-lost-tail",
    "PostgreSQL is killed, its standby without the newest candles promoted",
)
def failover(installation: Installation, watch: Watch) -> None:
    """The tail is cut off by the line between the two; every address leads to the standby then."""
    primary, folder = installation.postgres, installation.directory / f"standby-{next(_numbers)}"
    replication = Line([primary.port]).start()
    standby = start_standby(primary, folder, through=replication.port)
    posted = Posted(installation)
    posted.fill()
    with posted.viewed() as views:
        wait_until_caught_up(primary, standby)
        replication.cut()
        posted.post_lost()
        posted.require_equal(views)
        with watch.fault():
            primary.kill()
            promote(standby)
            installation.replace_postgres(standby)
        replication.close()
        kept = installation.stored(posted.series, LOST, LOST)
        watch.expect(not kept, "the standby had the tail")
        posted.post_others()
        _check(installation, watch, posted, views)


@drill("restore-while-serving", "a backup restored while two web processes serve")
def restore(installation: Installation, watch: Watch) -> None:
    """As the runbook has it: workers and beats stop for the time, web processes do not."""
    posted, backup = Posted(installation), installation.directory / "drill.dump"
    posted.fill()
    with posted.viewed() as views:
        _postgres_program(
            "pg_dump", "--format=custom", f"--file={backup}", installation=installation
        )
        posted.post_lost()
        posted.require_equal(views)
        stopped = [*installation.workers, *installation.beats]
        with watch.fault():
            for each in stopped:
                each.terminate()
            options = ("--clean", "--if-exists", "--single-transaction")
            _postgres_program("pg_restore", *options, str(backup), installation=installation)
            installation.manage("new_generation")
            for each in stopped:
                each.start()
            for each in stopped:
                each.wait_ready()
        kept = installation.stored(posted.series, LOST, LOST)
        watch.expect(not kept, "the backup had what came after it")
        posted.post_others()
        _check(installation, watch, posted, views)
    backup.unlink()


def _check(installation: Installation, watch: Watch, posted: Posted, views: Views) -> None:
    """Expect that every view equals the store, and the ledgers what follows from the candles."""
    try:
        posted.require_equal(views)
    except LabFailed as error:
        watch.expect(False, str(error))
    else:
        shown = len(views.viewers) + len(views.tabs)
        watch.note(f"{shown} views of a series with a lost candle equal the store")
    _expect(watch, lambda: installation.manage("verify", posted.series), "ledgers differ")


def _expect(watch: Watch, work: Callable[[], object], failure: str) -> None:
    try:
        work()
    except LabFailed as error:
        watch.expect(False, f"{failure}: {error}")


def _postgres_program(name: str, *arguments: str, installation: Installation) -> None:
    """Run one of the wheel's programs on the installation's database. Raises LabFailed."""
    account = server_account()
    place = Place(account, server_directory(account, installation.directory / Postgres.name))
    target = ("--dbname", installation.database_url)
    done = subprocess.run(
        [str(Path(programs_of(place)) / name), *arguments, *target],
        capture_output=True,
        text=True,
        timeout=PROGRAM_S,
        env=os.environ,
    )
    if done.returncode:
        raise LabFailed(f"{name}: {done.stderr[-500:]}")
