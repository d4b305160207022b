"""A web process with a script, for tests of crowds."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager, suppress

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from market.api.candle_answer import COMPACT_TYPE
from market.domain.candle import Candle
from market.domain.history_format import encode

SERIES = "sim:spot:BTC/USDT:1m"
HEAD = 6000
STORED = [6060, 6120, 6180, 6240]


def candle(time):
    return {"candle_time": time, "open": 1, "high": 1, "low": 1, "close": 1, "volume": 1}


def closed(*times):
    if len(times) == 1:
        return {"type": "candle_closed", "series_id": SERIES, "candle": candle(times[0])}
    return {"type": "candles_batch", "series_id": SERIES, "candles": [candle(t) for t in times]}


def gap(expected, actual):
    times = {"expected_next_time": expected, "actual_time": actual}
    return {"type": "gap", "series_id": SERIES, **times}


class FakeWeb:
    """Sends every watcher the messages of `script`, then a forming candle.

    `scripts` are those of single connections, by their number. `pages` are bodies and headers over
    HTTP by path, besides candles; `asked` are the paths, with query, and the tags named. Candles
    are JSON, or with `answers_columns` in the compact form for those who ask for it.
    """

    answers_columns = False

    def __init__(self):
        self.script = []
        self.scripts = {}
        self.subscribed = []
        self.connections = []
        self.after = [6120, 6180, 6240]
        self.pages = {}
        self.asked = []

    @asynccontextmanager
    async def running(self):
        async with serve(self._talk, "127.0.0.1", 0, process_request=self._answer) as server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield self

    def _answer(self, connection, request):
        if request.path.startswith("/ws"):
            return None
        self.asked.append((request.path, request.headers.get("If-None-Match")))
        path = request.path.partition("?")[0]
        if path == "/api/market/candles":
            times = self.after if "since" in request.path else [HEAD]
            past = {"X-Series-Epoch": "3", "X-Series-Generation": "g"}
            if self.answers_columns and COMPACT_TYPE in request.headers.get("Accept", ""):
                return _columns(connection, times, past)
            body = {"candles": [candle(t) for t in times], "server_head_time": times[-1]}
            return _respond(connection, body, past)
        if path not in self.pages:
            return connection.respond(404, "{}")
        return _respond(connection, *self.pages[path])

    async def _talk(self, connection):
        script = self.scripts.get(len(self.connections), self.script)
        self.connections.append(connection)
        self.subscribed.append(json.loads(await connection.recv()))
        forming = {"type": "candle_forming", "series_id": SERIES, "candle": candle(6300)}
        for message in [*script, forming]:
            await connection.send(json.dumps(message, separators=(",", ":")))
        with suppress(ConnectionClosed):
            async for message in connection:
                self.subscribed.append(json.loads(message))


def _columns(connection, times, headers):
    response = connection.respond(200, "")
    response.body = encode([Candle(**candle(time)) for time in times])
    del response.headers["Content-Length"], response.headers["Content-Type"]
    named = {"Content-Type": COMPACT_TYPE, "Content-Length": str(len(response.body))}
    response.headers.update({**headers, **named, "X-Server-Head-Time": str(times[-1])})
    return response


def _respond(connection, body, headers):
    response = connection.respond(200, body if isinstance(body, str) else json.dumps(body))
    response.headers.update(headers)
    return response
