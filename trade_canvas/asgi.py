"""The ASGI application that servers load; trade_canvas.edge.stack lists its wrappers."""

from __future__ import annotations

import os
from typing import cast

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "trade_canvas.settings")
django_application = get_asgi_application()

from market.api.asgi import Application  # noqa: E402  (apps must be loaded first)
from trade_canvas.edge.stack import build  # noqa: E402

application = build(cast(Application, django_application))
