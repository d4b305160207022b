from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager

import orjson
import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application
from django.db import connections
from django.http import HttpResponse
from django.urls import path

from lab.waiting import eventually, patience
from trade_canvas.edge.request_threads import RequestThreads

SCOPE = {"type": "http", "path": "/"}
WORKERS = 2


class Views:
    """An application that works on a thread until it is let go, then reads and answers."""

    def __init__(self):
        self.go = threading.Event()
        self.read = asyncio.Event()
        self.at_work = 0
        self.threads = set()

    async def __call__(self, scope, receive, send):
        if scope["path"] == "/slow":
            await self.read.wait()
        await sync_to_async(self._work)()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def _work(self):
        self.threads.add(threading.current_thread().name)
        self.at_work += 1
        self.go.wait(patience(10))


@asynccontextmanager
async def serving(workers, queue):
    views = Views()
    threads = RequestThreads(views, workers=workers, queue=queue)
    try:
        yield views, threads
    finally:
        views.go.set()
        views.read.set()
        threads.pool.shutdown()


async def ask(threads, at="/"):
    answer = []

    async def send(message):
        answer.append(message)

    await threads({**SCOPE, "path": at}, None, send)
    return answer


def start(threads, count, at="/"):
    return [asyncio.create_task(ask(threads, at)) for _ in range(count)]


async def test_requests_share_a_few_threads():
    async with serving(workers=2, queue=100) as (views, threads):
        asked = start(threads, 20)
        await eventually(lambda: views.at_work == 2 and threads.pool.waiting == 18)
        views.go.set()
        answers = await asyncio.gather(*asked)
        assert {answer[0]["status"] for answer in answers} == {200}
        assert len(views.threads) == 2
        assert threads.pool.waiting == 0


async def test_request_beyond_the_queue_is_refused():
    async with serving(workers=1, queue=2) as (views, threads):
        asked = start(threads, 3)
        await eventually(lambda: threads.pool.waiting == 2)
        first, body = await ask(threads)
        assert (first["status"], orjson.loads(body["body"])["code"]) == (503, "server_busy")
        assert (b"retry-after", b"1") in first["headers"]
        views.go.set()
        await asyncio.gather(*asked)
        assert (await ask(threads))[0]["status"] == 200


async def test_slow_client_holds_no_thread():
    async with serving(workers=1, queue=1) as (views, threads):
        slow = start(threads, 50, at="/slow")
        views.go.set()
        assert (await ask(threads))[0]["status"] == 200
        assert not any(task.done() for task in slow)
        views.read.set()
        await asyncio.gather(*slow)


async def test_client_that_disconnects_frees_its_place():
    async with serving(workers=1, queue=5) as (views, threads):
        asked = start(threads, 3)
        await eventually(lambda: threads.pool.waiting == 2)
        asked[2].cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked[2]
        assert threads.pool.waiting == 1
        views.go.set()
        await asyncio.gather(*asked[:2])


class OneView:
    """A URLconf with one view, which returns the process id of its database connection."""

    def __init__(self):
        self.urlpatterns = [path("", self.view)]
        self.pids = []

    def view(self, request):
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            self.pids += cursor.fetchone()
        return HttpResponse("ok")


async def get(threads):
    client = ApplicationCommunicator(
        threads,
        {**SCOPE, "method": "GET", "query_string": b"", "headers": [(b"host", b"localhost")]},
    )
    await client.send_input({"type": "http.request"})
    status = (await client.receive_output(patience(10)))["status"]
    assert not (await client.receive_output(patience(10))).get("more_body")
    await client.wait(patience(10))
    return status


def end(threads):
    """Close the connection of every thread, then the threads: the test database must be free."""
    together = threading.Barrier(WORKERS)
    closing = [threads.pool.submit(close_connections, together) for _ in range(WORKERS)]
    for each in closing:
        each.result(patience(10))
    threads.pool.shutdown()


def close_connections(together):
    together.wait(patience(10))
    connections.close_all()


@pytest.mark.django_db(transaction=True)
async def test_django_keeps_its_connections(settings):
    settings.ROOT_URLCONF = urls = OneView()
    settings.MIDDLEWARE = []
    threads = RequestThreads(get_asgi_application(), workers=WORKERS, queue=100)
    try:
        statuses = await asyncio.gather(*(get(threads) for _ in range(20)))
        assert statuses == [200] * 20
        assert len(urls.pids) == 20
        assert len(set(urls.pids)) <= WORKERS
    finally:
        await asyncio.to_thread(end, threads)


async def test_view_waits_until_responses_before_it_are_on_their_way():
    seen = []

    async def application(scope, receive, send):
        await receive()
        seen.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    threads = RequestThreads(application, workers=1, queue=10)
    may_send = asyncio.Event()

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        await may_send.wait()

    asked = [
        asyncio.create_task(threads({**SCOPE, "path": path}, receive, send))
        for path in ("/1", "/2")
    ]
    await eventually(lambda: threads.waiting == 1)
    assert seen == ["/1"]
    may_send.set()
    await asyncio.gather(*asked)
    assert seen == ["/1", "/2"]
    threads.pool.shutdown()
