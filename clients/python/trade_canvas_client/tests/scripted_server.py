"""A server that stores candles in a dict and does on each connection what a test says."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response

SERIES = "sim:futures:BTC/USDT:1m"
HEARTBEAT = {"type": "heartbeat", "time": 0}


def candle(time, close=1.5):
    values = {"open": 1.0, "high": 2.0, "low": 0.5, "close": close, "volume": 10.0}
    return {"candle_time": time, **values}


def closed(time, close=1.5):
    return {"type": "candle_closed", "series_id": SERIES, "candle": candle(time, close)}


def batch(*times):
    found = [candle(time) for time in times]
    return {"type": "candles_batch", "series_id": SERIES, "candles": found}


def forming(time):
    return {"type": "candle_forming", "series_id": SERIES, "candle": candle(time)}


def revised(from_time, epoch):
    data = {"series_id": SERIES, "from_time": from_time, "epoch": epoch}
    return {"type": "system", "series_id": SERIES, "event": "candle.revised", "data": data}


class ScriptedServer:
    """`scripts` are those of connections in their order: messages, and close codes at the end.

    The last script is that of every later connection. `refusals` are statuses, headers and bodies
    that the next requests get instead, `handshakes` that of every handshake.
    """

    def __init__(self):
        self.stored = {}
        self.epoch, self.generation = 0, "g"
        self.scripts = [[]]
        self.refusals = []
        self.handshakes = None
        self.requests = []
        self.connections = []
        """What each of them subscribed with."""

    @asynccontextmanager
    async def running(self):
        async with serve(self._talk, "127.0.0.1", 0, process_request=self._answer) as server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield self

    def put(self, *times, close=1.5):
        self.stored |= dict.fromkeys(times, close)

    def _answer(self, connection, request):
        if self.refusals:
            return _response(*self.refusals.pop(0))
        place = urlsplit(request.path)
        if place.path == "/ws/market":
            return _response(*self.handshakes) if self.handshakes else None
        query = {name: values[0] for name, values in parse_qs(place.query).items()}
        self.requests.append((place.path, query))
        if place.path != "/api/market/candles":
            return _response(404, {}, {"detail": "Not Found", "code": "not_found"})
        times = sorted(self.stored)
        if "since" in query:
            found = [time for time in times if time > int(query["since"])][: int(query["limit"])]
        else:
            found = times[-int(query["limit"]) :]
        body = {"series_id": SERIES, "server_head_time": times[-1] if times else None}
        body["candles"] = [candle(time, self.stored[time]) for time in found]
        epoch = {"X-Series-Epoch": str(self.epoch), "X-Series-Generation": self.generation}
        return _response(200, epoch, body)

    async def _talk(self, socket):
        self.connections.append(json.loads(await socket.recv()))
        hello = json.loads(await socket.recv())
        assert hello == {"type": "hello", "heartbeat": True}
        number = min(len(self.connections), len(self.scripts)) - 1
        with suppress(ConnectionClosed):
            for step in self.scripts[number]:
                if callable(step):
                    step()
                elif isinstance(step, int):
                    await socket.close(step, "scripted")
                else:
                    await socket.send(json.dumps(step))
            await socket.wait_closed()


def _response(status, headers, body):
    content = b"" if body is None else json.dumps(body).encode()
    given = Headers({"Content-Type": "application/json", "Content-Length": str(len(content))})
    given.update(headers)
    return Response(status, "scripted", given, content)
