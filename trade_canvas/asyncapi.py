"""`/api/asyncapi.json`: the WebSocket endpoints as an AsyncAPI 3 document.

It is made of the types that the server's own code is checked against (market/live/messages.py) and
of the answers of the HTTP API, where a message has the same content.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.urls import get_script_prefix
from django.views.decorators.http import require_safe
from pydantic import BaseModel, TypeAdapter

from factors.api.answers import FactorHealthAnswer
from market.api.answers import HealthAnswer
from market.live import messages
from overlays.api.answers import DrawDeltaAnswer, VersionAnswer
from trade_canvas import __version__

Json = dict[str, Any]

SCHEMAS = "#/components/schemas/"
LICENCE = {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"}
DESCRIPTION = (
    "Exchange candles live; history comes over HTTP (`/api/schema/`). docs/ws-protocol.md explains "
    "order, gaps, revisions, limits and close codes. Ignore messages, events and fields that you "
    "do not know: later versions may add some."
)
CHANNELS: Mapping[str, tuple[str, str, Sequence[Any], Sequence[Any]]] = {
    "market": (
        "/ws/market",
        "Closed candles in order, without a gap that is not reported; no authentication.",
        messages.MARKET_REQUESTS,
        messages.MARKET_MESSAGES,
    ),
    "debug": (
        "/ws/debug",
        "What the processes of the installation write and read, for a session of an admin.",
        messages.DEBUG_REQUESTS,
        messages.DEBUG_MESSAGES,
    ),
}
SERIES = "binance:futures:BTC/USDT:1m"
CANDLE = {"candle_time": 180, "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 10.0}
GENERATION = "1.24601.5f0c6ae89b2d4417"
EVENT = {
    "ts_ms": 1780000000123,
    "source": "backend",
    "pipe": "read",
    "event": "read.http.market_candles",
    "series_id": SERIES,
    "level": "info",
    "message": "",
    "data": {
        "since": 120,
        "limit": 2000,
        "count": 1,
        "last_time": 180,
        "server_head_time": 180,
    },
}
EXAMPLES: Mapping[Any, Json] = {
    messages.SubscribeRequest: {
        "type": "subscribe",
        "series_id": SERIES,
        "since": 1780000000,
        "epoch": 3,
        "generation": GENERATION,
        "supports_batch": True,
    },
    messages.UnsubscribeRequest: {"type": "unsubscribe", "series_id": SERIES},
    messages.HelloRequest: {"type": "hello", "heartbeat": True, "health": True},
    messages.SnapshotRequest: {"type": "subscribe"},
    messages.CandleClosed: {"type": "candle_closed", "series_id": SERIES, "candle": CANDLE},
    messages.CandlesBatch: {
        "type": "candles_batch",
        "series_id": SERIES,
        "candles": [CANDLE | {"candle_time": 120}, CANDLE],
    },
    messages.CandleForming: {
        "type": "candle_forming",
        "series_id": SERIES,
        "candle": {
            "candle_time": 240,
            "open": 1.5,
            "high": 1.7,
            "low": 1.4,
            "close": 1.6,
            "volume": 3.0,
        },
    },
    messages.Gap: {
        "type": "gap",
        "series_id": SERIES,
        "expected_next_time": 240,
        "actual_time": 300,
    },
    messages.CandleRevised: {
        "type": "system",
        "series_id": SERIES,
        "event": "candle.revised",
        "message": "stored candles changed, read again",
        "data": {"series_id": SERIES, "from_time": 120, "epoch": 4},
    },
    messages.FactorRebuild: {
        "type": "system",
        "series_id": SERIES,
        "event": "factor.rebuild",
        "message": "factor history recomputed",
        "data": {"series_id": SERIES, "from_time": 120},
    },
    messages.SocketError: {"type": "error", "code": "bad_request", "message": "missing series_id"},
    messages.Heartbeat: {"type": "heartbeat", "time": 1780000000},
    messages.DrawCursor: {
        "type": "draw_cursor",
        "series_id": SERIES,
        "cursor": 1300,
        "to_candle_time": 120,
        "epoch": 3,
        "generation": GENERATION,
    },
    messages.DrawDelta: {
        "type": "draw_delta",
        "series_id": SERIES,
        "previous_cursor": 1300,
        "cursor": 1304,
        "to_candle_time": 180,
        "epoch": 3,
        "generation": GENERATION,
        "removed_ids": ["pen.candidate"],
        "instruction_catalog_patch": [
            {
                "version_id": 1301,
                "instruction_id": "pen.candidate",
                "kind": "polyline",
                "visible_time": 180,
                "definition": {},
            }
        ],
    },
    messages.HealthMessage: {
        "type": "health",
        "series_id": SERIES,
        "market": {
            "series_id": SERIES,
            "timeframe_seconds": 60,
            "now_time": 250,
            "expected_latest_closed_time": 180,
            "head_time": 180,
            "lag_seconds": 70,
            "missing_seconds": 0,
            "missing_candles": 0,
            "status": "green",
            "status_reason": "up_to_date",
            "backfill": {
                "state": "idle",
                "progress_pct": 100.0,
                "started_at": None,
                "updated_at": None,
                "reason": None,
                "note": None,
                "error": None,
                "recent": False,
                "start_missing_seconds": 0,
                "start_missing_candles": 0,
                "current_missing_seconds": 0,
                "current_missing_candles": 0,
            },
        },
        "factor": {
            "series_id": SERIES,
            "timeframe_seconds": 60,
            "store_head_time": 180,
            "factor_head_time": 180,
            "overlay_head_time": 180,
            "factor_delay_seconds": 0,
            "factor_delay_candles": 0,
            "overlay_delay_seconds": 0,
            "overlay_delay_candles": 0,
            "max_delay_seconds": 0,
            "max_delay_candles": 0,
            "status": "green",
            "status_reason": "up_to_date",
        },
    },
    messages.DebugSnapshot: {"type": "debug_snapshot", "events": [EVENT]},
    messages.DebugEvent: {"type": "debug_event", "event": EVENT},
}


@require_safe
def asyncapi(request: HttpRequest) -> JsonResponse:
    """The document, with the address that the request used."""
    server = {
        "host": request.get_host(),
        "protocol": "wss" if request.is_secure() else "ws",
        "pathname": get_script_prefix().removesuffix("/") or "/",
    }
    return JsonResponse(document() | {"servers": {"this": server}})


@cache
def document() -> Json:
    """The document without servers."""
    kinds = [kind for _, _, *both in CHANNELS.values() for part in both for kind in part]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "trade_canvas",
            "version": __version__,
            "description": DESCRIPTION,
            "license": LICENCE,
        },
        "defaultContentType": "application/json",
        "channels": {name: _channel(*parts) for name, parts in CHANNELS.items()},
        "operations": dict(
            operation
            for name, (_, _, requests, sent) in CHANNELS.items()
            for operation in (
                *_operations(name, "receive", requests),
                *_operations(name, "send", sent),
            )
        ),
        "components": {
            "messages": {kind.__name__: _message(kind) for kind in kinds},
            "schemas": schemas(),
        },
    }


def _channel(address: str, description: str, requests: Sequence[Any], sent: Sequence[Any]) -> Json:
    named = [kind.__name__ for kind in (*requests, *sent)]
    return {
        "address": address,
        "description": description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in named},
        "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
    }


def _operations(channel: str, action: str, kinds: Sequence[Any]) -> list[tuple[str, Json]]:
    """One operation for each message: what this server does with it."""
    place = f"#/channels/{channel}"
    return [
        (
            f"{action}{kind.__name__}",
            {
                "action": action,
                "channel": {"$ref": place},
                "summary": _first_sentence(kind),
                "messages": [{"$ref": f"{place}/messages/{kind.__name__}"}],
            },
        )
        for kind in kinds
    ]


def _message(kind: Any) -> Json:
    return {
        "name": kind.__name__,
        "title": kind.__name__,
        "summary": _first_sentence(kind),
        "contentType": "application/json",
        "payload": {"$ref": f"{SCHEMAS}{kind.__name__}"},
        "examples": [{"payload": EXAMPLES[kind]}],
    }


def _first_sentence(kind: Any) -> str:
    return str(kind.__doc__).partition("\n")[0]


@cache
def schemas() -> Json:
    """The JSON schema of every message and of what they contain, by name, as of draft 7.

    What the server sends has no field that is not named here.
    """
    requests = (*messages.MARKET_REQUESTS, *messages.DEBUG_REQUESTS)
    sent: list[Any] = [*messages.MARKET_MESSAGES, *messages.DEBUG_MESSAGES]
    contents: list[type[BaseModel]] = [HealthAnswer, FactorHealthAnswer, VersionAnswer]
    found = _definitions([*sent, *contents])
    points = DrawDeltaAnswer.model_json_schema()["properties"]["series_points"]
    found["DrawDelta"]["properties"] |= {
        "instruction_catalog_patch": {"type": "array", "items": _ref("VersionAnswer")},
        "series_points": points,
    }
    market = {"anyOf": [_ref("HealthAnswer"), {"type": "null"}]}
    found["HealthMessage"]["properties"] |= {
        "market": market,
        "factor": _ref("FactorHealthAnswer"),
    }
    for each in found.values():
        _close(each)
    return _definitions(requests) | found


def _ref(name: str) -> Json:
    return {"$ref": f"{SCHEMAS}{name}"}


def _definitions(kinds: Sequence[Any]) -> Json:
    """The schemas of these types by name."""
    inputs: Any = [(kind, "serialization", TypeAdapter(kind)) for kind in kinds]
    _, found = TypeAdapter.json_schemas(inputs, ref_template=f"{SCHEMAS}{{model}}")
    return dict(found["$defs"])


def _close(schema: Any) -> None:
    """Allow no other fields than those named, in `schema` and all that it contains.

    Pairs are written as draft 7 has them.
    """
    if isinstance(schema, list):
        for each in schema:
            _close(each)
    if not isinstance(schema, dict):
        return
    for each in schema.values():
        _close(each)
    if "properties" in schema:
        schema.setdefault("additionalProperties", False)
    if "prefixItems" in schema:
        schema["items"] = schema.pop("prefixItems")
        schema["additionalItems"] = False
