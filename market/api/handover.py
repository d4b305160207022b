"""What a view hands to the ASGI middleware in front of Django, through the request's scope.

Django's ASGI handler keeps a thread for every request under way. A view that is done thinking
leaves here what takes longer (a stream) or what saves the next request the way to it (a query).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from django.http import HttpRequest

from market.api.candle_pages import PageQuery

SCOPE_KEY = "trade_canvas.handover"


@dataclass(slots=True)
class Handover:
    """Filled by a view, read by the middleware after the view's answer."""

    page: PageQuery | None = None
    stream: AsyncGenerator[bytes] | None = None


def handover_of(request: HttpRequest) -> Handover | None:
    """The middleware's handover for this request; None when Django runs without it."""
    scope = getattr(request, "scope", None)
    found = scope.get(SCOPE_KEY) if scope else None
    return found if isinstance(found, Handover) else None
