"""The page at `/`, and the probes `/healthz` (alive) and `/readyz` (can serve)."""

from __future__ import annotations

from collections.abc import Callable

import redis
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from market import blocking
from market.singletons import closed_by, once
from trade_canvas import __version__
from trade_canvas.edge.drain import DRAIN, Step

BUS_TIMEOUT_S = 2.0
PAGE_NOT_BUILT = """<!doctype html>
<title>trade_canvas</title>
<h1>The page is not built</h1>
<p>The server runs, but <code>frontend/dist</code> is missing.
Run <code>make run</code>, or <code>make frontend</code> and start the server again.</p>
<p>The API is at <a href="/api/docs/">/api/docs/</a>.</p>
"""


@require_safe
@never_cache
def page(request: HttpRequest) -> HttpResponse:
    """The chart page; it must not be cached, its assets have hashed names."""
    path = settings.FRONTEND_DIST / "index.html"
    if not path.is_file():
        return HttpResponse(PAGE_NOT_BUILT, status=503)
    return HttpResponse(path.read_bytes(), content_type="text/html; charset=utf-8")


@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """The process is up; `version` is the one that it runs."""
    return JsonResponse({"status": "ok", "version": __version__})


@require_safe
@never_cache
def readyz(request: HttpRequest) -> HttpResponse:
    """Whether the process can serve: each part is "ok", "off" by its switch, or an error.

    It fails before the process ends, while requests are still served.
    """
    if DRAIN.step is not Step.SERVING:
        return JsonResponse({"status": "leaving", "checks": {}}, status=503)
    checks = {
        "database": _outcome(_check_database, settings.SWITCHES.enable_pg_store),
        "migrations": _outcome(_check_migrations, settings.SWITCHES.enable_pg_store),
        "bus": _outcome(_check_bus, settings.SWITCHES.enable_ws_pubsub),
    }
    ready = all(outcome in ("ok", "off") for outcome in checks.values())
    status = "ready" if ready else "unavailable"
    return JsonResponse({"status": status, "checks": checks}, status=200 if ready else 503)


def _outcome(check: Callable[[], None], enabled: bool) -> str:
    if not enabled:
        return "off"
    try:
        check()
    except Exception as error:  # Any failure makes this process unready and is reported.
        # Our code or the class, because messages of drivers contain hosts and users.
        return f"failed: {getattr(error, 'code', type(error).__name__)}"
    return "ok"


class MigrationsMissing(Exception):
    """The database lacks migrations of this version."""


def _check_database() -> None:
    blocking.call(_select_one)


def _select_one() -> None:
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute("SELECT 1")


def _check_migrations() -> None:
    blocking.call(_find_missing_migrations)


@once
def _find_missing_migrations() -> None:
    # A success is kept: applied migrations stay applied, and reading them is slow.
    executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise MigrationsMissing


def _check_bus() -> None:
    _bus().ping()


@closed_by(redis.Redis.close)
def _bus() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=BUS_TIMEOUT_S, socket_connect_timeout=BUS_TIMEOUT_S
    )
