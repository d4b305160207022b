"""Servers that die or refuse to write, and networks that are cut while all processes live."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from lab.drills.ground import TOKEN, Watch, drill, following_worker
from lab.http import post
from lab.installation import Installation
from lab.line import Line
from lab.waiting import wait_until

DOWN_S = 5.0
CUT_S = 30.0
FULL_S = 15.0
POSTED_S = 20.0
POSTED = "drill:spot:POSTED/USDT:1s"
PRICES = {"open": 1.0, "high": 2.0, "low": 1.0, "close": 2.0, "volume": 1.0}
PAUSE_S = 0.02
# Later than what other drills posted before.
_first = itertools.count(1, 1_000_000)

# PostgreSQL's own answer (SQLSTATE 53100) to every write of candles.
FULL = """
CREATE FUNCTION drill_disk_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
END $$;
CREATE TRIGGER drill_disk_full BEFORE INSERT ON candles
    FOR EACH STATEMENT EXECUTE FUNCTION drill_disk_full();
"""
ROOM = "DROP FUNCTION drill_disk_full CASCADE"


@drill("kill-valkey", "kill -9 of Valkey, back after 5 s")
def kill_valkey(installation: Installation, watch: Watch) -> None:
    """Hubs read the store meanwhile; workers, leases and locks recover by themselves."""
    with watch.fault():
        installation.valkey.kill()
        time.sleep(DOWN_S)
        installation.valkey.start()


@drill("kill-postgres", "kill -9 of PostgreSQL, back at once")
def kill_postgres(installation: Installation, watch: Watch) -> None:
    """Candles are posted besides: those that were acknowledged must be stored afterwards."""
    with posting(installation) as acknowledged:
        wait_until(lambda: len(acknowledged) > 10, POSTED_S, "posts to be acknowledged")
        with watch.fault():
            installation.postgres.kill()
            installation.postgres.start()
        before = len(acknowledged)
        wait_until(lambda: len(acknowledged) > before + 10, POSTED_S, "posts to be acknowledged")
    _expect_stored(installation, watch, acknowledged)
    watch.note(f"{len(acknowledged)} posted candles acknowledged, all there")


@drill("restart-postgres", "PostgreSQL is restarted, down for 5 s")
def restart_postgres(installation: Installation, watch: Watch) -> None:
    """As for an upgrade of the server."""
    with watch.fault():
        installation.postgres.stop()
        time.sleep(DOWN_S)
        installation.postgres.start()


@drill("disk-full", "the store answers 'disk full' to every write for 15 s")
def disk_full(installation: Installation, watch: Watch) -> None:
    """Reads go on; what could not be written is fetched from the exchange afterwards."""
    with posting(installation) as acknowledged:
        time.sleep(1)
        with watch.fault():
            installation.sql(FULL)
            time.sleep(FULL_S)
            installation.sql(ROOM)
        time.sleep(1)
    _expect_stored(installation, watch, acknowledged)


@contextmanager
def posting(installation: Installation) -> Iterator[list[int]]:
    """Post candles one after another, each until it is acknowledged.

    Yields the acknowledged open times as they grow.
    """
    acknowledged: list[int] = []
    ended = threading.Event()
    first = next(_first)

    def post_on() -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        for web in itertools.cycle(installation.webs):
            if ended.wait(PAUSE_S):
                return
            candle = {"candle_time": first + len(acknowledged), **PRICES}
            body = {"series_id": POSTED, "candle": candle}
            url = f"{web.url}/api/market/ingest/candle_closed"
            if post(url, body, headers=headers)[0] == 200:
                acknowledged.append(first + len(acknowledged))

    thread = threading.Thread(target=post_on, daemon=True)
    thread.start()
    try:
        yield acknowledged
    finally:
        ended.set()
        thread.join()


def _expect_stored(installation: Installation, watch: Watch, acknowledged: list[int]) -> None:
    stored = installation.stored(POSTED, acknowledged[0], acknowledged[-1])
    times = {candle["candle_time"] for candle in stored}
    watch.expect(set(acknowledged) <= times, "acknowledged candles are gone")


@contextmanager
def _cut(lines: Iterable[Line]) -> Iterator[None]:
    for line in lines:
        line.cut()
    yield
    for line in lines:
        line.heal()


@drill("cut-bus", "the bus cut off from every process for 30 s while it lives")
def cut_bus(installation: Installation, watch: Watch) -> None:
    """Nothing is refused, nothing arrives: workers must go on writing, hubs reading the store."""
    with watch.fault(), _cut(installation.lines.buses.values()):
        time.sleep(CUT_S)


@drill("cut-web", "a web process cut off from bus and store for 30 s")
def cut_web(installation: Installation, watch: Watch) -> None:
    """Its watchers are to notice, and to resume at the other one."""
    name = installation.webs[0].name
    with watch.fault(), _cut((installation.lines.buses[name], installation.lines.stores[name])):
        time.sleep(CUT_S)


@drill("cut-worker", "the worker that follows cut off from bus and store for 30 s")
def cut_worker(installation: Installation, watch: Watch) -> None:
    """The other one takes over; what the first one writes afterwards is refused."""
    name = following_worker(installation).name
    watch.begin_fault()
    with _cut((installation.lines.buses[name], installation.lines.stores[name])):
        watch.end_fault()
        time.sleep(CUT_S)


@drill("cut-watchers", "the watchers cut off from every web process for 15 s")
def cut_watchers(installation: Installation, watch: Watch) -> None:
    """Connections hang and are replaced, or deliver late everything that waited in them."""
    with watch.fault(), _cut([installation.front]):
        time.sleep(CUT_S / 2)
