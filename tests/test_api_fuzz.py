"""Requests made up from the OpenAPI schema, good and bad: no 500, and every answer as described.

A few requests of each kind go to each endpoint here; `make prove` sends many.
"""

from __future__ import annotations

import contextlib

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from lab.http import post
from lab.waiting import patience
from tests.clients import NAMES
from tests.examples import FUZZ_EXAMPLES

SERIES = "binance:futures:BTC/USDT:1m"
TOKEN = "token-of-the-fuzz"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
SWITCHES = {
    "TRADE_CANVAS_ENABLE_READ_REPAIR_API": "1",
    "TRADE_CANVAS_ENABLE_UDF": "1",
    "TRADE_CANVAS_INGEST_TOKEN": TOKEN,
}
TOP_MARKETS = "/api/market/top_markets"
SYMBOLS = "/api/market/symbols"

LONGEST_QUERY = 5000

# The schema describes in words only which series ids exist, which candles are possible, and that
# numbers may be strings.
LOOSE = [positive_data_acceptance, negative_data_rejection]


@pytest.fixture(scope="module")
def web(shared_stack):
    """A web process with some candles, every switch on, and an exchange to ask for markets."""
    shared_stack.local_exchange()
    found = shared_stack.web(**SWITCHES)
    rows = [(60 * n, 1.0, 2.0 + n % 7, 0.5, 1.5, 10.0) for n in range(1, 200)]
    candles = [dict(zip(NAMES, row, strict=True)) for row in rows]
    body = {"series_id": SERIES, "candles": candles}
    batch = f"{found.url}/api/dev/market/ingest/candles_closed_batch"
    assert post(batch, body, headers=HEADERS)[0] == 200
    return found


@pytest.fixture(scope="module")
def operations(web):
    schema = schemathesis.openapi.from_url(f"{web.url}/api/schema/")
    return [each.ok() for each in schema.get_all_operations()]


def takes_input(operation):
    """Whether there is anything that a request could get wrong."""
    return bool(operation.body or operation.query)


def bend(case, *, to_known):
    """Keep a case on this machine and short, and let some ask for what there is."""
    if case.path.startswith((TOP_MARKETS, SYMBOLS)):
        case.query["exchange"] = "sim"
    if case.path.endswith("/stream"):
        case.query["max_events"] = 1
    if to_known and "series_id" in case.query:
        case.query["series_id"] = SERIES
    if to_known and "symbol" in case.query:
        case.query["symbol"] = SERIES.rpartition(":")[0]
    if to_known and isinstance(case.body, dict) and "series_id" in case.body:
        case.body["series_id"] = SERIES
        candles = case.body.get("candles")
        for candle in [case.body.get("candle"), *(candles if isinstance(candles, list) else [])]:
            make_possible(candle)


def make_possible(candle):
    """Put the prices of a made up candle in order, so that it gets as far as the store."""
    prices = ("open", "high", "low", "close")
    with contextlib.suppress(TypeError, KeyError):
        ascending = sorted(candle[name] for name in prices)
        candle.update(zip(("low", "open", "close", "high"), ascending, strict=True))
        candle["volume"] = abs(candle["volume"])
        candle["candle_time"] = abs(candle["candle_time"]) % 1_700_000_000


def fuzz(operation, mode):
    """Send made up requests to one endpoint and check each answer."""

    @hypothesis.settings(
        max_examples=FUZZ_EXAMPLES,
        database=None,
        # Shrinking would ask a server that other examples have changed since.
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), to_known=st.booleans())
    def send(case, to_known):
        # A longer request line is refused by the HTTP parser itself, as text.
        hypothesis.assume(len(str(case.query)) < LONGEST_QUERY)
        bend(case, to_known=to_known)
        response = case.call(session=session, headers=HEADERS, timeout=patience(30))
        case.validate_response(response, headers=HEADERS, excluded_checks=LOOSE)

    with requests.Session() as session:
        send()


@pytest.mark.parametrize("mode", GenerationMode)
def test_made_up_requests_are_answered_as_the_schema_says(operations, web, mode):
    asked = [each for each in operations if mode.is_positive or takes_input(each)]
    assert len(asked) > 10
    for operation in asked:
        fuzz(operation, mode)
    assert "Traceback" not in web.output()
