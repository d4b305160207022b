"""Addresses of the bus (REDIS_URL), parsed once and written for each library that uses them.

redis-py, Django's cache and the channel layer take `client_url`; Celery takes `broker_url` and
`broker_tls`. What one of them would misread is refused for all.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

TCP = {"redis", "valkey"}
TLS = {"rediss", "valkeys"}
SOCKET = {"unix", "redis+socket", "valkey+socket"}
SCHEMES = ("redis", "rediss", "valkey", "valkeys", "unix", "redis+socket")
DEFAULT_PORT = 6379

VERIFICATION = {
    "required": ssl.CERT_REQUIRED,
    "optional": ssl.CERT_OPTIONAL,
    "none": ssl.CERT_NONE,
}
TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
TLS_OPTIONS = (*TLS_FILES, "ssl_cert_reqs", "ssl_check_hostname")
# Celery's name for the database number of a socket.
NUMBER_OPTIONS = ("db", "virtual_host")


class BusAddressError(ValueError):
    """REDIS_URL can't be used; the message says why, without the password."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"redis_url_invalid: {reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BusAddress:
    """One Valkey or Redis server: over TCP, with TLS, or a Unix socket (`path`)."""

    host: str = ""
    port: int = DEFAULT_PORT
    path: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    number: int = 0
    tls: tuple[tuple[str, str], ...] | None = None
    """Options of TLS; None without it."""

    @property
    def client_url(self) -> str:
        """The address for redis-py."""
        if self.path:
            return f"unix://{self._login}{quote(self.path)}?db={self.number}"
        scheme = "redis" if self.tls is None else "rediss"
        query = f"?{urlencode(self.tls)}" if self.tls else ""
        return f"{scheme}://{self._login}{self._server}/{self.number}{query}"

    @property
    def broker_url(self) -> str:
        """The address for Celery; `broker_tls` goes with it."""
        if self.path:
            return f"redis+socket://{self._login}{quote(self.path)}?virtual_host={self.number}"
        scheme = "redis" if self.tls is None else "rediss"
        return f"{scheme}://{self._login}{self._server}/{self.number}"

    @property
    def broker_tls(self) -> dict[str, Any] | None:
        """Celery's BROKER_USE_SSL; None without TLS."""
        if self.tls is None:
            return None
        options: dict[str, Any] = dict(self.tls)
        options["ssl_cert_reqs"] = VERIFICATION[options.get("ssl_cert_reqs", "required")]
        options["ssl_check_hostname"] = options.get("ssl_check_hostname", "true") == "true"
        return options

    @property
    def _login(self) -> str:
        if not self.username and not self.password:
            return ""
        return f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@"

    @property
    def _server(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(text: str) -> tuple[BusAddress, ...]:
    """Return the addresses in a text, separated by commas. Raises BusAddressError."""
    # A comma belongs to a password unless another address follows it.
    parts = [each for each in re.split(r",\s*(?=[a-z+]+://)", text.strip()) if each]
    found = tuple(_parse_one(each.rstrip(", ")) for each in parts)
    if len(set(found)) < len(found):
        raise BusAddressError("an address is named twice")
    return found


def _parse_one(text: str) -> BusAddress:
    parts = urlsplit(text)
    if parts.scheme not in TCP | TLS | SOCKET:
        raise BusAddressError(
            f"{parts.scheme or 'no'} scheme: use {', '.join(f'{each}://' for each in SCHEMES)}"
        )
    if parts.fragment:
        raise BusAddressError("write # in a password as %23")
    options = _options(parts.query, has_tls=parts.scheme in TLS)
    username, password = unquote(parts.username or ""), unquote(parts.password or "")
    if username and not password:
        raise BusAddressError("a user without a password; a password alone is written :password@")
    number = _number(parts.path if parts.scheme not in SOCKET else "", options)
    if parts.scheme in SOCKET:
        if parts.hostname or not parts.path.strip("/"):
            raise BusAddressError(f"{parts.scheme}:// needs an absolute path: three slashes")
        path = unquote(parts.path)
        return BusAddress(path=path, username=username, password=password, number=number)
    try:
        port = parts.port or DEFAULT_PORT
    except ValueError as error:
        raise BusAddressError("the port is no number") from error
    return BusAddress(
        host=unquote(parts.hostname or "127.0.0.1"),
        port=port,
        username=username,
        password=password,
        number=number,
        tls=_tls(options) if parts.scheme in TLS else None,
    )


def _options(query: str, *, has_tls: bool) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    known = (*NUMBER_OPTIONS, *TLS_OPTIONS) if has_tls else NUMBER_OPTIONS
    for name in options:
        if name not in known:
            raise BusAddressError(f"unknown option {name}; known are {', '.join(known)}")
    return options


def _number(path: str, options: dict[str, str]) -> int:
    given = [options[each] for each in NUMBER_OPTIONS if each in options]
    text = given[0] if given else path.strip("/") or "0"
    if not text.isdecimal():
        raise BusAddressError("the database is no number")
    return int(text)


def _tls(options: dict[str, str]) -> tuple[tuple[str, str], ...]:
    kept = {name: value for name, value in options.items() if name in TLS_OPTIONS}
    if "ssl_cert_reqs" in kept:
        kept["ssl_cert_reqs"] = kept["ssl_cert_reqs"].lower().removeprefix("cert_")
        if kept["ssl_cert_reqs"] not in VERIFICATION:
            raise BusAddressError(f"ssl_cert_reqs is one of {', '.join(VERIFICATION)}")
    if "ssl_check_hostname" in kept:
        is_on = kept["ssl_check_hostname"].lower() in ("1", "true", "yes")
        kept["ssl_check_hostname"] = "true" if is_on else "false"
    elif kept.get("ssl_cert_reqs") == "none":
        kept["ssl_check_hostname"] = "false"
    return tuple(sorted(kept.items()))
