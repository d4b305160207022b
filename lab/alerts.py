"""Rules of alerts in an installation, what they must find in its candles, and who follows them."""

from __future__ import annotations

import itertools
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from math import sin
from typing import Any, Self

import orjson

from factors.alerts.occurrences import alerts_of, crossings, facts_of
from factors.alerts.rules import KINDS, Rule
from factors.domain.engine import Engine
from lab.http import post
from lab.installation import Installation
from lab.waiting import wait_until
from market.domain.candle import Candle
from market.domain.identity import random_id
from market.domain.series import SeriesId
from trade_canvas.switches import PREFIX

LEVEL = 100.0
TAKEN_S = 30.0
SILENT_S = 30.0
SWITCHES = {
    f"{PREFIX}ENABLE_ALERTS": "1",
    f"{PREFIX}ALERTS_NETWORKS": "127.0.0.0/8",
    # Many facts in few candles.
    f"{PREFIX}PIVOT_WINDOW_MAJOR": "3",
    f"{PREFIX}PIVOT_WINDOW_MINOR": "1",
}

INSERT = """
INSERT INTO alert_rules (uid, name, series, source, kinds, level, direction, touch, once,
    cooldown_s, webhook_url, webhook_host, secret, to_stream, is_public, enabled, disabled_reason,
    active_from, created_at)
VALUES (%s, 'lab', %s, %s, %s, %s, 'both', false, %s, 0, %s, 'lab', %s, true, true, true, '',
    to_timestamp(0), now())
RETURNING id
"""


def add_rules(installation: Installation, series: str, *, url: str, secret: str) -> list[Rule]:
    """Have every kind of fact, a price, and a price once, posted to an address."""
    known = frozenset(KINDS)
    wanted = [
        Rule(0, random_id(), "lab", series, 0.0, kinds=known),
        Rule(0, random_id(), "lab", series, 0.0, level=LEVEL),
        Rule(0, random_id(), "lab", series, 0.0, level=LEVEL, once=True),
    ]
    for rule in wanted:
        source, kinds = ("price", "") if rule.level else ("factors", ",".join(KINDS))
        values = (rule.uid, series, source, kinds, rule.level, rule.once, url, secret)
        installation.sql(INSERT, *values)
    return wanted


def expected_ids(
    rules: Iterable[Rule], series: SeriesId, candles: Sequence[Candle], engine: Engine
) -> set[str]:
    """The ids of all alerts that these candles make, if each was once the newest."""
    state = engine.initial(series.timeframe)
    steps = [engine.step(state, candle) for candle in candles]
    facts = list(facts_of(steps, frozenset(KINDS), lambda time: ()))
    found = {alert.id for alert in alerts_of(rules, series, facts)}
    for rule in rules:
        found |= {alert.id for alert in crossings(rule, series, candles, None)}
    return found


class Poster:
    """Posts candles that turn and cross LEVEL, one by one, each until a web process takes it."""

    def __init__(self, series: str, urls: Sequence[str], token: str, count: int) -> None:
        self.series = series
        self._urls = urls
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.first = int(time.time()) - count - 60
        self.count = count
        self.posted = 0

    def post_to(self, number: int) -> None:
        """Post up to the candle of this number. Raises WaitTimeout."""
        while self.posted < min(number, self.count):
            body = {"series_id": self.series, "candle": self._candle(self.posted)}
            wait_until(partial(self._is_taken, body), TAKEN_S, "a candle to be taken")
            self.posted += 1

    def _is_taken(self, body: dict[str, Any]) -> bool:
        for url in self._urls:
            address = f"{url}/api/market/ingest/candle_closed"
            if post(address, body, headers=self._headers)[0] == 200:
                # The next candle is for another process.
                self._urls = [*self._urls[1:], self._urls[0]]
                return True
        return False

    def _candle(self, number: int) -> dict[str, float]:
        close = LEVEL + 5 * sin(number / 3) + 3 * sin(number / 11)
        open_ = LEVEL + 5 * sin((number - 1) / 3) + 3 * sin((number - 1) / 11)
        return {
            "candle_time": self.first + number,
            "open": open_,
            "high": max(open_, close) + 0.5,
            "low": min(open_, close) - 0.5,
            "close": close,
            "volume": 1.0,
        }


class StreamClient:
    """A client of /api/alerts/stream that connects again, and goes on where it was.

    A context manager. `ids` are those of the alerts in the order of arrival, `numbers` their
    places; `resets` counts the times that the server did not know its place.
    """

    def __init__(self, url: str) -> None:
        self.ids: list[str] = []
        self.numbers: list[str] = []
        self.resets = 0
        self.is_connected = False
        self._url = url
        self._last = ""
        self._stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def disorder(self) -> int:
        """How many alerts came after one with a greater number."""
        numbers = [int(each.rpartition("-")[2]) for each in self.numbers]
        return sum(after <= before for before, after in itertools.pairwise(numbers))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True

    def _run(self) -> None:
        while not self._stopped:
            with suppress(OSError, urllib.error.URLError, ValueError):
                self._follow()
            self.is_connected = False
            time.sleep(0.1)

    def _follow(self) -> None:
        headers = {"Last-Event-ID": self._last} if self._last else {}
        request = urllib.request.Request(f"{self._url}/api/alerts/stream", headers=headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=SILENT_S) as response:
            fields: dict[str, str] = {}
            for line in response:
                self.is_connected = True
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    fields[name] = value
                elif fields:
                    self._take(fields)
                    fields = {}
                if self._stopped:
                    return

    def _take(self, fields: dict[str, str]) -> None:
        if fields.get("event") == "reset":
            self.resets += 1
        if fields.get("event") == "alert":
            self._last = fields["id"]
            self.numbers.append(fields["id"])
            self.ids.append(orjson.loads(fields["data"])["id"])
