"""The address of a client: the peer's, or the one that our own proxies forward."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address

from market.api.asgi import Application, Receive, Scope, Send

FORWARDED_FOR = b"x-forwarded-for"
FORWARDED = b"forwarded"

# An address as proxies write it: some add the client's port, and IPv6 is then in brackets.
HOP = re.compile(r'"?(?:\[(?P<v6>[^\]]+)\](?::\d+)?|(?P<v4>[\d.]+):\d+|(?P<bare>[^"\[\]]+))"?')


class TrustedProxies:
    """ASGI middleware: replaces the peer's address by that of the client behind `count` proxies.

    Each proxy appends the address it was called from to X-Forwarded-For, or to Forwarded; entries
    before those are the client's own claim and are ignored.
    """

    def __init__(self, application: Application, *, count: int) -> None:
        self._application = application
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if self._count and scope["type"] in ("http", "websocket"):
            found = forwarded_client(scope["headers"], self._count)
            if found:
                scope["client"] = (found, 0)
        await self._application(scope, receive, send)


def forwarded_client(headers: Iterable[tuple[bytes, bytes]], count: int) -> str:
    """The client's address, without a port, as the outermost of `count` proxies saw it.

    Forwarded (RFC 7239) counts only without X-Forwarded-For. Empty when the header has fewer
    entries, so the request did not pass all of the proxies, or when the entry is not an address.
    """
    given = list(headers)
    if hops := _entries(given, FORWARDED_FOR):
        named = hops[-count] if len(hops) >= count else ""
    else:
        hops = _entries(given, FORWARDED)
        named = _for_parameter(hops[-count]) if len(hops) >= count else ""
    return _address(named)


def _entries(headers: list[tuple[bytes, bytes]], wanted: bytes) -> list[str]:
    values = [value.decode("latin-1") for name, value in headers if name.lower() == wanted]
    return [entry.strip() for entry in ",".join(values).split(",")] if values else []


def _for_parameter(element: str) -> str:
    """The value of `for` in one element of a Forwarded header."""
    for pair in element.split(";"):
        name, _, value = pair.partition("=")
        if name.strip().lower() == "for":
            return value.strip()
    return ""


def _address(hop: str) -> str:
    """The address of an entry, without its port; empty when it is none."""
    match = HOP.fullmatch(hop)
    named = match and (match["v6"] or match["v4"] or match["bare"])
    try:
        return str(ip_address(named)) if named else ""
    except ValueError:
        return ""


def peer_of(scope: Scope) -> str:
    """The client address of a scope; empty behind a Unix socket."""
    client = scope.get("client")
    return str(client[0]) if client else ""
