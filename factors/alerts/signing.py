"""Signatures of webhooks as Standard Webhooks defines them (https://www.standardwebhooks.com/).

Receivers verify them with any library for that, or as docs/alerts.md shows.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from factors.alerts.models import SECRET_PREFIX


def headers_of(alert_id: str, body: str, secret: str, at: int) -> dict[str, str]:
    """The headers of a delivery at a time in Unix seconds."""
    return {
        "Content-Type": "application/json",
        "User-Agent": "trade_canvas-alerts/1",
        "Idempotency-Key": alert_id,
        "webhook-id": alert_id,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{signature(alert_id, body, secret, at)}",
    }


def signature(alert_id: str, body: str, secret: str, at: int) -> str:
    """HMAC-SHA256 over id, time and body, in Base64."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = hmac.digest(key, f"{alert_id}.{at}.{body}".encode(), hashlib.sha256)
    return base64.b64encode(signed).decode()
