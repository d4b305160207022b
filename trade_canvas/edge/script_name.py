"""Serving below a prefix (FORCE_SCRIPT_NAME=/canvas), whether or not the proxy strips it.

Every wrapper, and `/ws/market`, sees the path without the prefix. Django sees it with the prefix,
so that it names its own addresses right: redirects, links of the admin, static files.
"""

from __future__ import annotations

from market.api.asgi import Application, Receive, Scope, Send, respond


class WithoutPrefix:
    """ASGI middleware: removes the prefix from the path, if it is there."""

    def __init__(self, application: Application, *, prefix: str) -> None:
        self._application = application
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; the prefix alone is redirected to the page below it."""
        prefix, path = self._prefix, scope.get("path", "")
        if prefix and path == prefix and scope["type"] == "http":
            location = (b"location", f"{prefix}/".encode())
            await respond(send, 308, [location, (b"content-length", b"0")])
            return
        if prefix and path.startswith(f"{prefix}/"):
            scope = {**scope, "path": path.removeprefix(prefix)}
        await self._application(scope, receive, send)


class WithPrefix:
    """ASGI middleware around Django: puts the prefix back."""

    def __init__(self, application: Application, *, prefix: str) -> None:
        self._application = application
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if self._prefix:
            scope = {**scope, "path": self._prefix + scope["path"], "root_path": self._prefix}
        await self._application(scope, receive, send)
