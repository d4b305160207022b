"""HTTP requests of tests and measurements: status and JSON body, never through a proxy."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from lab.program import LabFailed
from lab.waiting import patience

TIMEOUT_S = 10.0

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get(url: str, timeout_s: float = TIMEOUT_S) -> tuple[int, Any]:
    """Return status (0 without an answer) and JSON body (None when it is not JSON) of a GET."""
    return send("GET", url, timeout_s=timeout_s)


def post(
    url: str,
    body: Any,
    timeout_s: float = TIMEOUT_S,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, Any]:
    """The same for a POST of `body` as JSON."""
    return send("POST", url, body, timeout_s=timeout_s, headers=headers)


def send(
    method: str,
    url: str,
    body: Any = None,
    *,
    timeout_s: float = TIMEOUT_S,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, Any]:
    """The same for any method."""
    data = None if body is None else json.dumps(body).encode()
    every = {"Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, data, every, method=method)
    try:
        with _direct.open(request, timeout=patience(timeout_s)) as response:
            return response.status, _json(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _json(error.read())
    except OSError:
        return 0, None


def get_text(url: str) -> str:
    """Return the body of a GET. Raises LabFailed when it does not succeed."""
    try:
        with _direct.open(url, timeout=patience(TIMEOUT_S)) as response:
            return str(response.read().decode())
    except OSError as error:
        raise LabFailed(f"{url}: {error}") from error


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
