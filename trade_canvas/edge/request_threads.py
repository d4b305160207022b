"""A bounded pool of threads for Django's views, each with a database connection that it keeps.

Django uses a new thread for each request, so persistent connections are never reused.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from enum import Enum, auto
from functools import partial
from typing import ParamSpec, TypeVar

from asgiref.sync import ThreadSensitiveContext
from django.db import close_old_connections
from django.utils.translation import gettext_lazy as _
from typing_extensions import override

from market.api.asgi import Application, Message, Receive, Scope, Send
from market.api.error_codes import ErrorCode
from market.api.errors import RETRY_SOON, ApiError
from market.costs import COST, Cost, measured

P = ParamSpec("P")
T = TypeVar("T")

BUSY = ApiError(
    503, ErrorCode.SERVER_BUSY, _("too many requests wait for their turn"), headers=RETRY_SOON
)


class RequestThreads:
    """ASGI middleware around Django: runs its synchronous parts on `workers` threads.

    A thread is taken while a view runs, not while a body is received or a response is sent: a slow
    client holds none. While `queue` requests wait, new ones are answered 503 `server_busy`.

    A view starts only when fewer than `workers` others run or have a response that the server has
    not begun to send: otherwise finished responses would pile up behind a busy event loop.
    """

    def __init__(self, application: Application, *, workers: int, queue: int) -> None:
        self._application = application
        self._queue = queue
        self._turns = asyncio.Semaphore(workers)
        self._waiting_for_turn = 0
        self.pool = RequestPool(workers)

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn or for a thread."""
        return self._waiting_for_turn + self.pool.waiting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if self.waiting >= self._queue:
            await BUSY.send(scope, send)
            return
        turn = _Turn.NONE

        async def receive_then_wait() -> Message:
            # Django calls the view as soon as it has the whole body.
            nonlocal turn
            message = await receive()
            if turn is _Turn.NONE and not message.get("more_body", False):
                self._waiting_for_turn += 1
                try:
                    await self._turns.acquire()
                finally:
                    self._waiting_for_turn -= 1
                turn = _Turn.TAKEN
            return message

        async def send_then_release(message: Message) -> None:
            nonlocal turn
            await send(message)
            if turn is _Turn.TAKEN:
                turn = _Turn.OVER
                self._turns.release()

        try:
            # A request's calls come one after the other, so any thread may run any of them.
            async with ThreadSensitiveContext(executor=self.pool):
                await self._application(scope, receive_then_wait, send_then_release)
        finally:
            if turn is _Turn.TAKEN:
                self._turns.release()


class _Turn(Enum):
    """How far a request has come."""

    NONE = auto()
    TAKEN = auto()
    OVER = auto()


class RequestPool(ThreadPoolExecutor):
    """Counts waiting calls, and drops a stale database connection before each call."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers, thread_name_prefix="request")
        self._lock = threading.Lock()
        self.waiting = 0

    @override
    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        self._count(1)
        # Here is still the context of the request.
        call = super().submit(self._run, partial(fn, *args, **kwargs), COST.get())
        call.add_done_callback(self._uncount_cancelled)
        return call

    def _run(self, call: Callable[[], T], cost: Cost | None) -> T:
        self._count(-1)
        with measured(cost):
            close_old_connections()
            return call()

    def _uncount_cancelled(self, call: Future[T]) -> None:
        if call.cancelled():
            self._count(-1)

    def _count(self, change: int) -> None:
        with self._lock:
            self.waiting += change
