"""Watchers that want what there is not, and as much as possible of what there is."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from lab.drills.ground import LATE_S, Watch, drill
from lab.exchange import local_series
from lab.installation import Installation
from lab.program import Program
from lab.waiting import wait_until
from market.exchanges.ccxt_feed import known_exchanges
from trade_canvas.switches import PREFIX

SOCKETS = 100
EXCHANGES = 50
INVENTED_EACH = 20
LISTED = 140
FLOOD_S = 15.0
# Between two rounds of a socket; its messages stay below their rate.
PAUSE_S = 5.0
HONEST = "sim:spot:LTC/USDT:1s"
# Loopback has many addresses; quotas count the strangers' as one, and this one by itself.
HONEST_ADDRESS = "127.0.0.2"
HONEST_S = 30.0
HAND_OVER_S = 10
HAND_OVER_WAIT_S = 40.0
MAX_S = f"{PREFIX}FOLLOW_TASK_MAX_S"


def wishes_of(number: int) -> list[str]:
    """Return what stranger `number` subscribes to: invented, foreign and listed series."""
    venues = ("spot", "futures")
    exchanges = sorted(known_exchanges() - {"sim"})[:EXCHANGES]
    foreign = [f"{name}:{market}:BTC/USDT:1m" for name in exchanges for market in venues]
    invented = [f"sim:{venues[n % 2]}:X{number}N{n}/USDT:1m" for n in range(INVENTED_EACH)]
    listed = [name for name in local_series(LISTED) if name != HONEST]
    return [*invented, foreign[number % len(foreign)], *listed[number % 10 :: 10]]


class Strangers:
    """A crowd on an event loop in a thread of its own, and the answers that it got."""

    def __init__(self, urls: list[str]) -> None:
        self.codes: Counter[str] = Counter()
        """Refusals by their code."""
        self._urls = urls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="strangers", daemon=True)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """They flood the installation as long as the context lasts."""
        self._thread.start()
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._end)
            self._thread.join()

    def _run(self) -> None:
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._flood())

    def _end(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()

    async def _flood(self) -> None:
        await asyncio.gather(*(self._stranger(number) for number in range(SOCKETS)))

    async def _stranger(self, number: int) -> None:
        address = _socket_url(self._urls[number % len(self._urls)])
        while True:
            with suppress(OSError, TimeoutError, WebSocketException):
                async with connect(address, proxy=None, max_queue=None) as socket:
                    listening = asyncio.create_task(self._listen(socket))
                    try:
                        await _ask(socket, wishes_of(number))
                    finally:
                        listening.cancel()
            await asyncio.sleep(1.0)

    async def _listen(self, socket: ClientConnection) -> None:
        with suppress(WebSocketException):
            async for message in socket:
                answer = json.loads(message)
                if answer["type"] == "error":
                    self.codes[answer["code"]] += 1


async def _ask(socket: ClientConnection, wishes: list[str]) -> None:
    while True:
        # Without a catch-up: what reading costs is not what this is about.
        since = int(time.time())
        for name in wishes:
            request = {"type": "subscribe", "series_id": name, "since": since}
            await socket.send(json.dumps(request))
        await asyncio.sleep(PAUSE_S)


def _socket_url(url: str) -> str:
    return f"ws://{urlsplit(url).netloc}/ws/market"


async def _first_candle(url: str) -> float:
    """Subscribe to HONEST from an address of its own; return the seconds until it closes live."""
    began = time.monotonic()
    here = (HONEST_ADDRESS, 0)
    async with (
        asyncio.timeout(HONEST_S),
        connect(_socket_url(url), proxy=None, local_addr=here) as socket,
    ):
        await socket.send(json.dumps({"type": "subscribe", "series_id": HONEST}))
        async for message in socket:
            answer = json.loads(message)
            if answer["type"] == "error":
                raise OSError(answer["code"])
            if answer["type"] == "candle_closed":
                break
    return time.monotonic() - began


@drill("hostile-watcher", "100 sockets ask for 50 exchanges, 2,000 made-up symbols and all others")
def hostile_watcher(installation: Installation, watch: Watch) -> None:
    """The whitelist goes on, through a restart and hand-overs; so does an honest watcher."""
    watch.may_be_behind_s = LATE_S
    rows = _names(installation)
    followers = [each for each in installation.workers if each.name.startswith("follower")]
    strangers = Strangers([web.url for web in installation.webs])
    with watch.fault(), strangers.at_work():
        time.sleep(FLOOD_S)
        for follower in followers:
            _restart(follower, HAND_OVER_S)
        handed_over = _latest_fence(installation)
        try:
            honest_s = asyncio.run(_first_candle(installation.webs[0].url))
            watch.note(f"an honest series live after {honest_s:.1f} s")
        except (OSError, TimeoutError, WebSocketException) as error:
            watch.expect(False, f"an honest series did not start: {error!r}")
        wait_until(
            lambda: _latest_fence(installation) > handed_over, HAND_OVER_WAIT_S, "a hand-over"
        )
        watch.note(_summary(strangers))
    # A market that exists may have derived series besides.
    listed = {_market_of(name) for name in (*local_series(LISTED), *installation.series)}
    grown = {name for name in _names(installation) - rows if _market_of(name) not in listed}
    watch.expect(not grown, f"{len(grown)} series recorded that do not exist")
    refusals = {"unknown_symbol", "exchange_not_served", "capacity"}
    watch.expect(refusals <= strangers.codes.keys(), f"refused with {set(strangers.codes)} only")
    for follower in followers:
        _restart(follower, 900)


def _summary(strangers: Strangers) -> str:
    counts = ", ".join(f"{code} {count:,}" for code, count in sorted(strangers.codes.items()))
    return f"refused: {counts or 'nothing'}"


def _market_of(name: str) -> str:
    return name.rpartition(":")[0]


def _names(installation: Installation) -> set[str]:
    return {name for (name,) in installation.sql("SELECT name FROM series")}


def _restart(follower: Program, max_s: int) -> None:
    follower.terminate()
    follower.start(**{MAX_S: str(max_s)}).wait_ready()


def _latest_fence(installation: Installation) -> int:
    """Return the newest fencing token of the first whitelisted series."""
    query = "SELECT fence FROM series WHERE name = %s"
    ((fence,),) = installation.sql(query, installation.series[0])
    return int(fence)
