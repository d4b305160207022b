"""Who a request comes from: the peer, or behind proxies of ours the client that they name."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address

from market.api.asgi import Application, Receive, Scope, Send

FORWARDED_FOR = b"x-forwarded-for"

# Whoever sends one of these is a proxy, or somebody who says so: no local program.
OF_A_PROXY = frozenset(
    {
        FORWARDED_FOR,
        b"forwarded",
        b"via",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"x-real-ip",
    }
)

# What one customer of an IPv6 network has at least: limits count it as one.
IPV6_PREFIX_BITS = 64


class TrustedProxies:
    """ASGI middleware: replaces the peer's address by that of the client behind `count` proxies.

    Each of them appends the address it was called from to X-Forwarded-For; what stands before
    those is the client's own claim.
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

    Empty when the header is shorter than that, so the request did not come through all of them, or
    when what stands there is no address.
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
    """The address that a scope names; empty behind a Unix socket."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def network_of(address: str) -> str:
    """What limits count as one: an IPv4 address, or the /64 network of an IPv6 address."""
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(IPv6Address(int(parsed) >> IPV6_PREFIX_BITS << IPV6_PREFIX_BITS))


def is_loopback(address: str) -> bool:
    """Whether an address is this machine's own."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
