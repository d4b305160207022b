"""The address of a client: the peer's, or the one that our own proxies forward."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address

from market.api.asgi import Application, Receive, Scope, Send

FORWARDED_FOR = b"x-forwarded-for"

# An IPv6 customer has at least a /64 network, so limits count a network as one address.
IPV6_PREFIX_BITS = 64


class TrustedProxies:
    """ASGI middleware: replaces the peer's address by that of the client behind `count` proxies.

    Each proxy appends the address it was called from to X-Forwarded-For; entries before those are
    the client's own claim and are ignored.
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
    """The client's address as the outermost of `count` proxies saw it.

    Empty when the header has fewer entries, so the request did not pass all of the proxies, or when
    the entry is not an address.
    """
    given = b",".join(value for name, value in headers if name.lower() == FORWARDED_FOR)
    hops = [hop.strip() for hop in given.decode("latin-1").split(",")]
    if len(hops) < count:
        return ""
    hop = hops[-count]
    try:
        return str(ip_address(hop))
    except ValueError:
        return ""


def peer_of(scope: Scope) -> str:
    """The client address of a scope; empty behind a Unix socket."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def network_of(address: str) -> str:
    """The key that limits count by: an IPv4 address, or the /64 network of an IPv6 address."""
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(IPv6Address(int(parsed) >> IPV6_PREFIX_BITS << IPV6_PREFIX_BITS))
