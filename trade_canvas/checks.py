"""Checks of the configuration: known or short secrets, missing host names, risky switches.

`manage.py check --deploy` reports all of them. With DEBUG off, web and workers refuse to start with
an error.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from trade_canvas.switches import Switches

MIN_SECRET_KEY = 32
MIN_PASSWORD = 8
MIN_TOKEN = 16

KNOWN = frozenset(
    {
        "admin",
        "password",
        "secret",
        "default",
        "changeme",
        "change-me",
        "letmein",
        "12345678",
        "trade_canvas",
    }
)


class UnsafeToStart(Exception):
    """This configuration must not serve; the message has the stable ids of its errors."""


@register(Tags.security, deploy=True)
def check_production(
    app_configs: Sequence[Any] | None = None, **options: Any
) -> list[CheckMessage]:
    """All errors and warnings, with stable ids ``trade_canvas.E…`` and ``trade_canvas.W…``."""
    return [*errors(os.environ), *_warnings()]


def errors(environment: Mapping[str, str]) -> list[CheckMessage]:
    """Configuration errors that forbid a start."""
    found: list[CheckMessage] = []
    if _is_weak(settings.SECRET_KEY, MIN_SECRET_KEY):
        text = f"SECRET_KEY is known or shorter than {MIN_SECRET_KEY} characters"
        found.append(Error(text, id="trade_canvas.E001"))
    if not [name for name in settings.ALLOWED_HOSTS if name.strip()]:
        found.append(Error("ALLOWED_HOSTS names no host", id="trade_canvas.E002"))
    password = environment.get("ADMIN_PASSWORD", "")
    if password and _is_weak(password, MIN_PASSWORD):
        text = f"ADMIN_PASSWORD is known or shorter than {MIN_PASSWORD} characters"
        found.append(Error(text, id="trade_canvas.E003"))
    token = settings.SWITCHES.ingest_token
    if token and _is_weak(token, MIN_TOKEN):
        text = f"the ingest token is known or shorter than {MIN_TOKEN} characters"
        found.append(Error(text, id="trade_canvas.E004"))
    if one_socket_takes_all(settings.SWITCHES):
        text = (
            "one connection could have every on-demand series followed: make"
            " TRADE_CANVAS_ONDEMAND_MAX_SERIES_PER_ADDRESS or TRADE_CANVAS_WS_MAX_SUBSCRIPTIONS"
            f" smaller than TRADE_CANVAS_ONDEMAND_MAX_JOBS ({settings.SWITCHES.ondemand_max_jobs})"
        )
        found.append(Error(text, id="trade_canvas.E005"))
    return found


def one_socket_takes_all(switches: Switches) -> bool:
    """Whether one connection can take all places of on-demand series."""
    jobs = switches.ondemand_max_jobs
    one = min(switches.ws_max_subscriptions, switches.ondemand_series_an_address)
    return switches.enable_ondemand_ingest and jobs > 1 and one >= jobs


def _warnings() -> list[CheckMessage]:
    switches = settings.SWITCHES
    warnings = {
        "trade_canvas.W001": ("*" in settings.ALLOWED_HOSTS, "ALLOWED_HOSTS allows every host"),
        "trade_canvas.W002": (
            switches.enable_debug_api or switches.enable_dev_api,
            "the debug or development API is on",
        ),
        "trade_canvas.W003": (
            any("//localhost" in one or "//127." in one for one in settings.CORS_ALLOWED_ORIGINS),
            "pages on a visitor's own machine may call the API (TRADE_CANVAS_CORS_ORIGINS)",
        ),
        "trade_canvas.W004": (
            switches.enable_ondemand_ingest and not switches.ondemand_max_jobs,
            "any number of series is followed on demand (TRADE_CANVAS_ONDEMAND_MAX_JOBS)",
        ),
    }
    return [Warning(text, id=name) for name, (is_so, text) in warnings.items() if is_so]


def _is_weak(secret: str, least: int) -> bool:
    return len(secret) < least or secret.lower() in KNOWN or secret.startswith("django-insecure-")


def refuse_unsafe_start() -> None:
    """Raise UnsafeToStart if DEBUG is off and there are errors."""
    if settings.DEBUG:
        return
    found = [f"{each.id}: {each.msg}" for each in errors(os.environ)]
    if found:
        raise UnsafeToStart("; ".join(found))
