"""`/api/asyncapi.json`: a valid document, made of what the server sends."""

from __future__ import annotations

import copy
import gzip
import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from market.live import messages
from tests.wire_schema import complaints_of_request, complaints_of_sent, validator
from trade_canvas.asyncapi import EXAMPLES, document, schemas

ROOT = Path(__file__).parents[2]
PACKED = ROOT / "tests" / "schemas" / "asyncapi-3.0.0.json.gz"
SENT = (*messages.MARKET_MESSAGES, *messages.DEBUG_MESSAGES)
ASKED = (*messages.MARKET_REQUESTS, *messages.DEBUG_REQUESTS)


@pytest.fixture
def served(client):
    return client.get("/api/asyncapi.json", headers={"host": "localhost:8000"}).json()


def test_document_is_valid_asyncapi(served):
    rules = Draft7Validator(json.loads(gzip.decompress(PACKED.read_bytes())))
    assert [each.message for each in rules.iter_errors(served)] == []
    # The rules do find faults.
    assert not rules.is_valid(served | {"info": {"title": "no version"}})


def test_document_names_the_address_that_was_asked(served):
    assert served["servers"]["this"]["host"] == "localhost:8000"
    assert served["servers"]["this"]["protocol"] == "ws"
    assert served["info"]["license"]["name"] == "Apache-2.0"
    assert {each["address"] for each in served["channels"].values()} == {"/ws/market", "/ws/debug"}


def test_every_reference_leads_somewhere():
    found = re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document()))
    assert len(found) > 50
    for reference in found:
        place = document()
        for step in reference.split("/"):
            place = place[step]


@pytest.mark.parametrize("kind", SENT, ids=lambda kind: kind.__name__)
def test_server_messages_are_closed(kind):
    example = EXAMPLES[kind]
    assert complaints_of_sent(json.dumps(example).encode()) == []
    # A field that the document does not name is found, however deep.
    for place in objects_in(example):
        changed = copy.deepcopy(example)
        dict_at(changed, place)["unnamed"] = 1
        assert complaints_of_sent(json.dumps(changed).encode()) != [], place


def objects_in(value, place=()):
    """The places of all objects in a message but those that may have any field."""
    if isinstance(value, dict):
        yield place
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in items:
        if isinstance(each, dict | list) and not (key == "data" and "ts_ms" in value):
            yield from objects_in(each, (*place, key))


def dict_at(value, place):
    for key in place:
        value = value[key]
    return value


@pytest.mark.parametrize("kind", ASKED, ids=lambda kind: kind.__name__)
def test_requests_are_described_as_they_are_accepted(kind):
    assert validator(kind.__name__).is_valid(EXAMPLES[kind] | {"a later version's field": 1})
    if kind is not messages.SnapshotRequest:
        assert complaints_of_request(json.dumps(EXAMPLES[kind])) == []


@pytest.mark.parametrize(
    "field", ["since", "epoch", "generation", "supports_batch", "drawings", "series_id"]
)
@pytest.mark.parametrize("value", [None, True, 0, -1, 2**63, 1.0, "x", "", [], {}])
def test_parser_and_document_agree_about_a_subscribe(field, value):
    request = EXAMPLES[messages.SubscribeRequest] | {field: value}
    assert complaints_of_request(json.dumps(request)) == []


@pytest.mark.parametrize("field", ["heartbeat", "health"])
@pytest.mark.parametrize("value", [None, True, 1, "true", []])
def test_parser_and_document_agree_about_a_hello(field, value):
    assert complaints_of_request(json.dumps({"type": "hello", field: value})) == []


def test_health_and_drawings_are_those_of_the_http_api():
    health = schemas()["HealthMessage"]["properties"]
    assert health["factor"] == {"$ref": "#/components/schemas/FactorHealthAnswer"}
    assert "status_reason" in schemas()["FactorHealthAnswer"]["properties"]
    assert "instruction_id" in schemas()["VersionAnswer"]["properties"]
