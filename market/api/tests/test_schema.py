"""The OpenAPI schema: valid, complete, and readable without the internet."""

from __future__ import annotations

import json
import re
from pathlib import Path

import drf_spectacular
import jsonschema_rs
import pytest
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator

from market.api.error_codes import ErrorCode
from market.api.schema_hooks import WRITERS, operations
from trade_canvas import __version__

pytestmark = pytest.mark.usefixtures("in_memory")

# What drf_spectacular validates with, too, in seconds.
OPENAPI = Path(drf_spectacular.__file__).with_name("validation") / "openapi_3_1_schema.json"

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


@pytest.fixture(scope="module")
def schema():
    return json.loads(json.dumps(SchemaGenerator().get_schema(request=None, public=True)))


def test_schema_is_served(api, schema):
    served = api.get("/api/schema/", format="json").json()
    assert (served["info"], served["paths"]) == (schema["info"], schema["paths"])


def test_schema_is_valid_openapi(schema):
    assert schema["openapi"].startswith("3.1.")
    jsonschema_rs.validate(json.loads(OPENAPI.read_text()), schema)
    # It would notice.
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.validate(json.loads(OPENAPI.read_text()), schema | {"paths": []})


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


def test_document_has_licence_version_and_tags(schema):
    assert schema["info"]["license"] == {"name": "Apache 2.0", "identifier": "Apache-2.0"}
    assert schema["info"]["version"] == __version__
    assert all(tag["description"] for tag in schema["tags"])
    assert set(schema["components"]["securitySchemes"]) == {"ingestToken", "adminSession"}


def test_every_operation_is_described_for_people_and_programs(schema):
    tags = {tag["name"] for tag in schema["tags"]}
    found = list(operations(schema))
    assert len(found) > 25
    for operation in found:
        name = operation["operationId"]
        assert 5 < len(operation["summary"]) < 80, name
        assert len(operation["description"]) > 10, name
        assert len(operation["tags"]) == 1 and set(operation["tags"]) <= tags, name
        assert operation["security"] == (WRITERS if "401" in operation["responses"] else []), name
        assert {"422", "429", "500", "503"} <= set(operation["responses"]), name
        for parameter in operation.get("parameters", []):
            assert "example" in parameter, (name, parameter["name"])
    assert len({each["operationId"] for each in found}) == len(found)
    assert len({each["summary"] for each in found}) == len(found)


def test_writes_need_credentials(schema):
    ingest = schema["paths"]["/api/market/ingest/candle_closed"]["post"]
    assert ingest["security"] == [{"ingestToken": []}, {"adminSession": []}]
    assert schema["paths"]["/api/market/candles"]["get"]["security"] == []


def test_every_error_answer_has_a_code_of_the_list(schema):
    schemas = schema["components"]["schemas"]
    assert schemas["ErrorCode"]["enum"] == [str(code) for code in ErrorCode]
    for body in ("ErrorBody", "ValidationBody"):
        assert schemas[body]["properties"]["code"] == {"$ref": "#/components/schemas/ErrorCode"}
    bodies = {f"#/components/schemas/{name}" for name in ("ErrorBody", "ValidationBody")}
    bodies.add("#/components/schemas/UnprocessableBody")
    for operation in operations(schema):
        for status, answer in operation["responses"].items():
            if status >= "400":
                shown = answer["content"]["application/json"]["schema"]["$ref"]
                assert shown in bodies, (operation["operationId"], status)
                assert re.match(r"- `[a-z_.]+`: ", answer["description"])


def test_examples_are_what_their_schemas_describe(schema):
    checked = 0
    for operation in operations(schema):
        parts = [*operation.get("parameters", [])]
        for body in (operation.get("requestBody", {}), *operation["responses"].values()):
            parts += [each for kind, each in body.get("content", {}).items() if "json" in kind]
        for part in parts:
            if "example" not in part:
                assert "x-ndjson" in str(operation["responses"]["200"]), operation["operationId"]
                continue
            rules = Draft202012Validator(part["schema"] | {"components": schema["components"]})
            errors = [each.message for each in rules.iter_errors(part["example"])]
            assert errors == [], (operation["operationId"], part["example"])
            checked += 1
    assert checked > 250
