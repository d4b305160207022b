"""Every instrument: those of the process itself, and the modules that declare the others.

A process exposes all of them, also those that it never uses, so that their names do not depend on
what it happened to import.
"""

from __future__ import annotations

from factors.alerts import metrics as alerts
from market import metrics as pipeline
from market.api import metrics as api
from market.bus import metrics as bus
from market.ingest import metrics as ingest
from market.live import metrics as live
from market.metrics_registry import Counter, Histogram

DECLARED = (pipeline, bus, ingest, live, api, alerts)

LOOP_LAG = Histogram(
    "market_event_loop_lag_seconds", "How late the web process's event loop wakes up."
)
HANDSHAKES_REFUSED = Counter(
    "market_ws_handshakes_refused_total",
    "WebSocket connections refused before their handshake; no line of the log has them.",
    labels=("code",),
)
