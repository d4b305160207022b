"""Completes the OpenAPI schema: who may call an operation, and an example of all that it takes and
answers.

An example is written at the field or model that it is of (`examples`). Where there is none it is
made of the schema: names that mean the same everywhere have the same value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from market.api.schema import TAGS

Json = dict[str, Any]

SCHEMAS = "#/components/schemas/"
JSON_TYPE = "application/json"
SECURITY_SCHEMES: Json = {
    "ingestToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "The value of `TRADE_CANVAS_INGEST_TOKEN`.",
    },
    "adminSession": {
        "type": "apiKey",
        "in": "cookie",
        "name": "sessionid",
        "description": "A session of the admin; a write needs its CSRF token in `X-CSRFToken`.",
    },
}
WRITERS: list[dict[str, list[str]]] = [{name: []} for name in SECURITY_SCHEMES]
METHODS = {"get", "post", "put", "patch", "delete"}
SERIES = "binance:futures:BTC/USDT:1m"
TIME = 1780000020
EXAMPLES: Json = {
    "series_id": SERIES,
    "base_series_id": SERIES,
    "canonical_series_id": SERIES,
    "whitelist_series_ids": [SERIES],
    "series_ids": [SERIES],
    "exchange": "binance",
    "market": "futures",
    "symbol": "BTC/USDT",
    "timeframe": "1m",
    "timeframe_seconds": 60,
    "delta_seconds": 60,
    "generation": "1.24601.5f0c6ae89b2d4417",
    "epoch": 0,
    "open": 100.0,
    "high": 102.0,
    "low": 99.0,
    "close": 101.0,
    "volume": 12.5,
    "code": "store_unavailable",
}
DEEPEST = 8


def complete(result: Json, generator: Any, request: Any, public: bool) -> Json:
    """Add security and examples to every operation; a hook of drf-spectacular."""
    result["tags"] = [{"name": name, "description": text} for name, text in TAGS.items()]
    components = result.setdefault("components", {})
    components["securitySchemes"] = SECURITY_SCHEMES
    samples = Samples(components.get("schemas", {}))
    for operation in operations(result):
        # An operation that may refuse for want of credentials needs them.
        operation["security"] = WRITERS if "401" in operation["responses"] else []
        for parameter in operation.get("parameters", []):
            if "example" not in parameter and "examples" not in parameter:
                parameter["example"] = samples.named(parameter["name"], parameter["schema"])
        for body in (operation.get("requestBody", {}), *operation["responses"].values()):
            content = body.get("content", {}).get(JSON_TYPE)
            if content and "example" not in content and "examples" not in content:
                content["example"] = samples.of(content["schema"])
    return result


def operations(schema: Json) -> Iterator[Json]:
    """Every operation of an OpenAPI document."""
    for path in schema["paths"].values():
        yield from (each for method, each in path.items() if method in METHODS)


class Samples:
    """Makes examples of schemas; `definitions` are those that they may refer to."""

    def __init__(self, definitions: Json) -> None:
        self._definitions = definitions

    def named(self, name: str, schema: Json, depth: int = 0) -> Any:
        """Return an example of a field or parameter."""
        is_time = name == "time" or name.endswith("_time")
        usual = EXAMPLES.get(name, TIME if is_time else None)
        own = {"examples", "enum", "const"}
        if usual is not None and own.isdisjoint(schema) and _suits(usual, schema):
            return usual
        return self.of(schema, depth)

    def of(self, schema: Json, depth: int = 0) -> Any:
        """Return an example of a schema."""
        if "$ref" in schema:
            return self.of(self._definitions[schema["$ref"].removeprefix(SCHEMAS)], depth)
        for word in ("example", "const", "default"):
            if schema.get(word) is not None:
                return schema[word]
        for word in ("examples", "enum"):
            if schema.get(word):
                return schema[word][0]
        for word in ("anyOf", "oneOf", "allOf"):
            if schema.get(word):
                return self.of(schema[word][0], depth)
        return self._of_type(schema, depth)

    def _of_type(self, schema: Json, depth: int) -> Any:
        kind = schema.get("type")
        if kind == "object":
            return self._of_object(schema, depth)
        if kind == "array":
            pair = schema.get("prefixItems")
            if pair is not None:
                return [self.of(each, depth + 1) for each in pair]
            count = 0 if depth >= DEEPEST else max(1, schema.get("minItems", 0))
            return [self.of(schema.get("items", {}), depth + 1) for _ in range(count)]
        if kind in ("integer", "number"):
            return max(1, schema.get("minimum", 1))
        return {"boolean": True, "null": None, "string": "text"}.get(str(kind), {})

    def _of_object(self, schema: Json, depth: int) -> Json:
        """Return an object of the required fields, and of those with a name of known meaning."""
        required = schema.get("required", [])
        return {
            name: self.named(name, field, depth + 1)
            for name, field in schema.get("properties", {}).items()
            if name in required and depth < DEEPEST
        }


def _suits(value: Any, schema: Json) -> bool:
    """Whether a value is of a type that a schema names."""
    kinds = {each.get("type") for each in (schema, *schema.get("anyOf", ()))}
    named = {str: "string", int: "integer", float: "number", list: "array"}[type(value)]
    return named in kinds or (named == "integer" and "number" in kinds)
