"""The API's ASGI middlewares in their order, to be put around Django."""

from __future__ import annotations

from market.api.asgi import Application
from market.api.edge import ApiEdge
from market.api.fast_path import CandlePath


def in_front_of(django_application: Application) -> Application:
    """The application that answers HTTP: known reads at once, the rest through Django."""
    return CandlePath(ApiEdge(django_application))
