"""The limits: the same work with nothing around it. Run as `-m lab.benchmarks.bare_servers`.

`broadcast PORT`: a `websockets` server that hands what one connection sends to all others in one
`websockets.broadcast` loop. `hop PORT REDIS_URL CHANNEL`: the same for what arrives on a channel of
Redis. `constant PORT BYTES`: an ASGI application with one constant body. `rows PORT URL SERIES
LIMIT`: an ASGI application that does one SELECT and one `orjson.dumps`. `files PORT FOLDER`: one
that answers with the files of a folder, from memory.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import psycopg2
import redis.asyncio
import uvicorn
import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve


async def run_broadcast(port: int) -> None:
    """Serve until killed."""
    watchers: set[ServerConnection] = set()

    async def handler(connection: ServerConnection) -> None:
        if connection.request is not None and connection.request.path == "/send":
            async for message in connection:
                broadcast(watchers, message)
            return
        watchers.add(connection)
        try:
            async for _ in connection:
                pass
        finally:
            watchers.discard(connection)

    async with serve(handler, "127.0.0.1", port, compression=None, backlog=4096) as server:
        await server.serve_forever()


async def run_hop(port: int, url: str, channel: str) -> None:
    """Serve until killed."""
    watchers: set[ServerConnection] = set()

    async def handler(connection: ServerConnection) -> None:
        watchers.add(connection)
        await connection.wait_closed()
        watchers.discard(connection)

    async with (
        serve(handler, "127.0.0.1", port, compression=None),
        redis.asyncio.Redis.from_url(url) as bus,
        bus.pubsub() as subscription,
    ):
        await subscription.subscribe(channel)
        async for message in subscription.listen():
            if message["type"] == "message":
                broadcast(watchers, message["data"].decode())


def constant_application(body: bytes) -> Any:
    """An ASGI application that answers everything with `body`."""
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return application


def rows_application(url: str, series: str, limit: int) -> Any:
    """An ASGI application that reads the newest rows on a pool of kept connections."""
    pool = ThreadPoolExecutor(8)
    connections: dict[int, Any] = {}
    names = ("candle_time", "open", "high", "low", "close", "volume")

    def read() -> bytes:
        # Each thread of the pool is the only one to use the connection under its own name.
        key = threading.get_ident()
        if key not in connections:
            connections[key] = psycopg2.connect(url)
            connections[key].autocommit = True
        with connections[key].cursor() as cursor:
            cursor.execute(
                "SELECT candle_time, open, high, low, close, volume FROM candles"
                " WHERE series_id = (SELECT id FROM series WHERE name = %s)"
                " ORDER BY candle_time DESC LIMIT %s",
                (series, limit),
            )
            rows = cursor.fetchall()
        rows.reverse()
        return orjson.dumps({"candles": [dict(zip(names, row, strict=True)) for row in rows]})

    async def application(scope: Any, receive: Any, send: Any) -> None:
        body = await asyncio.get_running_loop().run_in_executor(pool, read)
        await constant_application(body)(scope, receive, send)

    return application


def files_application(folder: Path) -> Any:
    """An ASGI application that sends what is in `folder`: `x.br` as `x` compressed by Brotli."""
    types = {".html": b"text/html", ".js": b"text/javascript"}
    bodies = {f"/{path.name}": path.read_bytes() for path in folder.iterdir()}

    async def application(scope: Any, receive: Any, send: Any) -> None:
        path = f"{scope['path']}index.html" if scope["path"].endswith("/") else scope["path"]
        is_packed = f"{path}.br" in bodies
        body = bodies.get(f"{path}.br" if is_packed else path, b"")
        headers = [
            (b"content-type", types.get(Path(path).suffix, b"text/plain")),
            (b"content-encoding", b"br" if is_packed else b"identity"),
            (b"content-length", str(len(body)).encode()),
        ]
        status = 200 if body else 404
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return application


def serve_http(application: Any, port: int) -> None:
    """Serve with uvicorn as trade_canvas does."""
    uvicorn.run(
        application,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        lifespan="off",
    )


def main(arguments: list[str]) -> None:
    """Run the limit that the first argument names."""
    kind, port, *rest = arguments
    if kind == "broadcast":
        uvloop.run(run_broadcast(int(port)))
    elif kind == "hop":
        uvloop.run(run_hop(int(port), *rest))
    elif kind == "constant":
        serve_http(constant_application(b"x" * int(rest[0])), int(port))
    elif kind == "files":
        serve_http(files_application(Path(rest[0])), int(port))
    else:
        serve_http(rows_application(rest[0], rest[1], int(rest[2])), int(port))


if __name__ == "__main__":
    main(sys.argv[1:])
