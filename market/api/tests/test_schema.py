"""The OpenAPI schema: valid, complete, and readable without the internet."""

from __future__ import annotations

import pytest
import yaml
from drf_spectacular.validation import validate_schema

pytestmark = pytest.mark.usefixtures("in_memory")

ENDPOINTS = {
    ("get", "/api/market/candles"): {"200", "304", "400", "422", "503"},
    ("get", "/api/market/candles.{kind}"): {"200", "304", "400", "404", "422", "501", "503"},
    ("post", "/api/market/ingest/candle_closed"): {"200", "400", "401", "403", "409", "413", "500"},
    ("post", "/api/market/ingest/candle_forming"): {"200", "400", "401", "403", "404"},
    ("post", "/api/dev/market/ingest/candles_closed_batch"): {"200", "404", "409", "422", "500"},
    ("get", "/api/market/derived"): {"200", "400", "404", "422", "503"},
    ("get", "/api/market/whitelist"): {"200"},
    ("get", "/api/market/symbols"): {"200", "400", "422", "503"},
    ("get", "/api/market/history"): {"200", "304", "400", "404", "422", "503"},
    ("get", "/api/market/history/{name}"): {"200", "304", "400", "404", "422", "503"},
    ("get", "/api/market/health"): {"200", "400", "404"},
    ("get", "/api/market/debug/ingest_state"): {"200", "404"},
    ("get", "/api/market/debug/metrics"): {"200", "404"},
    ("get", "/api/market/debug/series_health"): {"200", "400", "404"},
    ("get", "/api/market/top_markets"): {"200", "400", "422", "429", "502"},
    ("get", "/api/market/top_markets/stream"): {"200", "400", "422", "503"},
}


@pytest.fixture
def schema(api):
    return yaml.safe_load(api.get("/api/schema/").content)


def test_schema_is_valid_openapi(schema):
    validate_schema(schema)


@pytest.mark.parametrize(("endpoint", "statuses"), ENDPOINTS.items(), ids=map(" ".join, ENDPOINTS))
def test_endpoint_and_its_refusals_are_described(schema, endpoint, statuses):
    method, path = endpoint
    described = schema["paths"][path][method]
    assert statuses <= set(described["responses"])
    assert described["description"]


def test_every_endpoint_is_described(schema):
    found = {(method, path) for path, each in schema["paths"].items() for method in each}
    assert {one for one in found if one[1].startswith("/api/market/")} <= set(ENDPOINTS)


def test_parameters_carry_their_bounds(schema):
    parameters = schema["paths"]["/api/market/candles"]["get"]["parameters"]
    bounds = {each["name"]: each["schema"] for each in parameters}
    assert (bounds["limit"]["minimum"], bounds["limit"]["maximum"]) == (1, 5000)
    assert bounds["since"]["minimum"] == 0
    assert [each["name"] for each in parameters if each.get("required")] == ["series_id"]


def test_docs_page_loads_nothing_from_elsewhere(api):
    page = api.get("/api/docs/").content.decode()
    assert "swagger-ui" in page
    assert "http://" not in page and "https://" not in page
