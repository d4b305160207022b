"""Hanging up on an exchange's sockets without ever waiting long for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any

from market.domain.feed import FeedError

# An exchange that plays dead would hold us for ten seconds.
LONGEST_GOODBYE_S = 1.0


def retire(exchange: Any, clients: Iterable[Any]) -> list[Any]:
    """Take sockets out of a ccxt object, so that it opens new ones; they are still to be closed."""
    retired = list(clients)
    for client in retired:
        client.retired = True
        if exchange.clients.get(client.url) is client:
            del exchange.clients[client.url]
    return retired


async def hang_up(clients: Iterable[Any]) -> None:
    """Close sockets; gives up on one that takes too long."""
    closing = {asyncio.ensure_future(client.close()) for client in clients}
    if not closing:
        return
    done, late = await asyncio.wait(closing, timeout=LONGEST_GOODBYE_S)
    for task in late:
        task.cancel()
    await asyncio.gather(*closing, return_exceptions=True)


async def unless_hung_up(answer: Awaitable[Any]) -> Any:
    """Await something of ccxt; raise FeedError when its socket is closed meanwhile.

    ccxt cancels what waits for a closed socket, which looks as if we were cancelled ourselves.
    """
    try:
        return await answer
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise FeedError("the socket was closed") from None
