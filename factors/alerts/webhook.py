"""One POST to a webhook: bounded in time and size, to permitted addresses, without redirects."""

from __future__ import annotations

import email.utils
import socket
import time
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, NamedTuple

import aiohttp

from factors.alerts.signing import headers_of

TIMEOUT_S = 10.0
CONNECT_S = 5.0
MOST_BYTES = 16_384
MOST_HEADER_BYTES = 8_190
LONGEST_PAUSE_S = 3600.0
NAT64 = IPv6Network("64:ff9b::/96")

Address = IPv4Address | IPv6Address


class Answer(NamedTuple):
    """What became of a POST: the status, or what failed; and what Retry-After asks for."""

    status: int | None
    error: str
    retry_after_s: float = 0.0

    @property
    def is_accepted(self) -> bool:
        """Whether the receiver has it."""
        return self.status is not None and 200 <= self.status < 300


class AddressRefused(OSError):
    """A webhook's name leads to an address that is not permitted."""


class Networks:
    """The addresses that webhooks may have: public ones, and those of the networks allowed."""

    def __init__(self, allowed: str = "") -> None:
        """Take networks divided by commas; raises ValueError."""
        texts = filter(None, (text.strip() for text in allowed.split(",")))
        self._allowed = [ip_network(text) for text in texts]

    def permits(self, text: str) -> bool:
        """Whether an address may be connected to."""
        address = ip_address(text.partition("%")[0])
        if any(address in network for network in self._allowed):
            return True
        return all(_is_public(each) for each in _meant(address)) or any(
            each in network for each in _meant(address)[1:] for network in self._allowed
        )


def _is_public(address: Address) -> bool:
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified
    )


def _meant(address: Address) -> list[Address]:
    """The address, and the IPv4 addresses that it stands for."""
    found: list[Address] = [address]
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return [address.ipv4_mapped, address.ipv4_mapped]
        found += [each for each in (address.sixtofour,) if each]
        found += list(address.teredo or ())
        if address in NAT64:
            found.append(IPv4Address(int(address) & 0xFFFF_FFFF))
    return found


class Webhooks:
    """A client for webhooks; a context manager. Nothing is kept between two requests."""

    def __init__(self, networks: Networks, *, timeout_s: float = TIMEOUT_S) -> None:
        self._networks = networks
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_S)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Webhooks:
        # The check is made where the socket for an address is opened: a name cannot lead elsewhere
        # between the check and the connection.
        connector = aiohttp.TCPConnector(
            socket_factory=self._permitted_socket, force_close=True, use_dns_cache=False, limit=0
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            max_line_size=MOST_HEADER_BYTES,
            max_field_size=MOST_HEADER_BYTES,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, url: str, alert_id: str, body: str, secret: str) -> Answer:
        """Post an alert, signed. Never raises for what the receiver does."""
        assert self._session is not None
        headers = headers_of(alert_id, body, secret, int(time.time()))
        try:
            async with self._session.post(
                url, data=body.encode(), headers=headers, allow_redirects=False
            ) as response:
                # An answer has no use, but one that is read lets the receiver finish.
                await response.content.read(MOST_BYTES)
                status = response.status
                asked = response.headers.get("Retry-After", "")
        except TimeoutError:
            return Answer(None, "no answer in time")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(None, _words(error))
        if 200 <= status < 300:
            return Answer(status, "")
        return Answer(status, f"HTTP {status}", _pause_of(asked))

    def _permitted_socket(self, info: Any) -> socket.socket:
        family, kind, protocol, _, address = info
        if not self._networks.permits(address[0]):
            raise AddressRefused(f"the address {address[0]} is not permitted")
        opened = socket.socket(family, kind, protocol)
        opened.setblocking(False)
        return opened


def _words(error: BaseException) -> str:
    """What failed, with the reasons of single addresses."""
    inner = getattr(error, "os_error", None) or error
    return f"{type(inner).__name__}: {inner}"


def _pause_of(asked: str) -> float:
    """Seconds that a Retry-After asks for; 0 for none, and for what cannot be read."""
    try:
        if asked.isdigit():
            seconds = float(asked)
        else:
            seconds = email.utils.parsedate_to_datetime(asked).timestamp() - time.time()
    except (ValueError, TypeError):
        return 0.0
    return max(0.0, min(seconds, LONGEST_PAUSE_S))
