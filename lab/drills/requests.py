"""Requests that change something, as drills make them; reads are capacity.topology.get."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

import orjson

TIMEOUT_S = 10.0

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def send(
    method: str, url: str, body: Any = None, *, headers: Mapping[str, str] | None = None
) -> tuple[int, Any]:
    """Return status (0 when nobody answers) and JSON body of a request with a JSON body."""
    data = None if body is None else orjson.dumps(body)
    whole = {"Content-Type": "application/json", **(headers or {})}
    try:
        request = urllib.request.Request(url, data, whole, method=method)
        with _direct.open(request, timeout=TIMEOUT_S) as answer:
            return answer.status, _json(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _json(error.read())
    except OSError:
        return 0, None


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except ValueError:
        return None
