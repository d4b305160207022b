"""Serving below a prefix, such as /canvas, whether or not the proxy strips it.

The prefix is FORCE_SCRIPT_NAME; without that, the one that our proxies name in X-Forwarded-Prefix,
which may be another for each request.

Every wrapper, and `/ws/market`, sees the path without the prefix. Django sees it with the prefix,
so that it names its own addresses right: redirects, links of the admin, static files.
"""

from __future__ import annotations

from market.api.asgi import Application, Receive, Scope, Send, respond
from trade_canvas.edge.addresses import forwarded_client
from trade_canvas.environment import is_prefix

FORWARDED_PREFIX = b"x-forwarded-prefix"

# Where the scope of a request keeps its prefix.
PREFIX = "trade_canvas.prefix"


class WithoutPrefix:
    """ASGI middleware: removes the prefix from the path, if it is there.

    `prefix` is the fixed one, perhaps empty. With None each request has that of its header, if it
    passed `proxies` trusted proxies.
    """

    def __init__(self, application: Application, *, prefix: str | None, proxies: int) -> None:
        self._application = application
        self._prefix = prefix
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; the prefix alone is redirected to the page below it."""
        if scope["type"] not in ("http", "websocket") or not (prefix := self._prefix_of(scope)):
            await self._application(scope, receive, send)
            return
        path = scope["path"]
        if path == prefix and scope["type"] == "http":
            location = (b"location", f"{prefix}/".encode())
            await respond(send, 308, [location, (b"content-length", b"0")])
            return
        if path.startswith(f"{prefix}/"):
            path = path.removeprefix(prefix)
        await self._application({**scope, "path": path, PREFIX: prefix}, receive, send)

    def _prefix_of(self, scope: Scope) -> str:
        if self._prefix is not None or not self._proxies:
            return self._prefix or ""
        return forwarded_prefix(scope["headers"], self._proxies)


def forwarded_prefix(headers: list[tuple[bytes, bytes]], proxies: int) -> str:
    """The prefix that one of so many trusted proxies names; empty without one.

    It is ignored when it is not a plain path, when there are several, and when the request did not
    pass all proxies.
    """
    given = [value for name, value in headers if name.lower() == FORWARDED_PREFIX]
    if len(given) != 1:
        return ""
    prefix = given[0].decode("latin-1").removesuffix("/")
    return prefix if is_prefix(prefix) and forwarded_client(headers, proxies) else ""


class WithPrefix:
    """ASGI middleware around Django: puts the prefix back, and nothing else names one."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        prefix = scope.get(PREFIX, "")
        # A server may have a root path of its own: Daphne takes one from a header of any client.
        if prefix or scope.get("root_path"):
            scope = {**scope, "path": prefix + scope["path"], "root_path": prefix}
        await self._application(scope, receive, send)
