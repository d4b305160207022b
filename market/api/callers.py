"""Who a request comes from: a program on this machine, a proxy, or a web page of some origin."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import validate_host

ANY_HOST = "*"

# A request with one of these came through a proxy, or claims to: not from a local program.
PROXY_HEADERS = frozenset(
    {
        b"x-forwarded-for",
        b"forwarded",
        b"via",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"x-real-ip",
    }
)


def is_loopback(address: str) -> bool:
    """Whether an address is a loopback address of this machine."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def is_allowed_origin(origin: str, host: str) -> bool:
    """Whether pages of this origin may call us: those we serve, and those of CORS_ORIGINS.

    `host` is the request's Host header: where every host is allowed, only a page of that very host
    counts as ours.
    """
    if origin in settings.CORS_ALLOWED_ORIGINS:
        return True
    try:
        parts = urlsplit(origin)
        name = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or not name:
        return False
    named = [each for each in settings.ALLOWED_HOSTS if each != ANY_HOST]
    if validate_host(f"[{name}]" if ":" in name else name, named):
        return True
    return ANY_HOST in settings.ALLOWED_HOSTS and parts.netloc.lower() == host.lower()
