"""Which web pages may talk to us: those we serve, and those that the CORS switch names."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import validate_host

ANY_HOST = "*"


def is_allowed_origin(origin: str, host: str) -> bool:
    """Whether a page of this origin may, given the Host header it was sent with.

    Where every host is allowed, only the one that the request itself names counts.
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
