"""The OpenAPI schema describes the answers and errors of drawings and frames."""

from __future__ import annotations

import json

import pytest
from drf_spectacular.generators import SchemaGenerator

from overlays.api.tests.drawn import AT_TIME, DELTA, LIVE, POLL, REPAIR
from overlays.replay.tests.asked import BUILD, COVERAGE, ENSURE, PREPARE, STATUS, WINDOW

pytestmark = pytest.mark.usefixtures("in_memory")

ENDPOINTS = {
    ("get", DELTA): {"200", "400", "409", "422", "503"},
    ("get", LIVE): {"200", "400", "404", "409", "422", "503"},
    ("get", AT_TIME): {"200", "400", "404", "409", "422", "503"},
    ("get", POLL): {"200", "400", "409", "422", "503"},
    ("post", PREPARE): {"200", "400", "404", "409", "413", "415", "422", "500", "503"},
    ("post", ENSURE): {"200", "400", "404", "413", "415", "422", "503"},
    ("get", COVERAGE): {"200", "404", "422", "503"},
    ("post", BUILD): {"200", "400", "404", "409", "413", "415", "422", "503"},
    ("get", STATUS): {"200", "404", "422", "503"},
    ("get", WINDOW): {"200", "404", "422", "503"},
    ("get", "/api/replay/stream"): {"200", "400", "409", "422", "503"},
    ("post", REPAIR): {"200", "400", "401", "403", "404", "409", "413", "415", "422", "500"},
}


@pytest.fixture(scope="module")
def schema():
    return json.loads(json.dumps(SchemaGenerator().get_schema(request=None, public=True)))


@pytest.mark.parametrize(("endpoint", "statuses"), ENDPOINTS.items(), ids=map(" ".join, ENDPOINTS))
def test_endpoint_and_its_refusals_are_described(schema, endpoint, statuses):
    method, path = endpoint
    described = schema["paths"][path][method]
    assert statuses <= set(described["responses"])
    assert described["description"]


def test_numbers_of_a_poll_are_described(schema):
    record = schema["components"]["schemas"]["PollRecord"]["properties"]
    assert "draw cursor" in record["id"]["description"]
