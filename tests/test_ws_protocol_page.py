"""docs/ws-protocol.md: its clients work, and it names whatever the code can send."""

from __future__ import annotations

import ast
import asyncio
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from market.domain.lease_store import Refusal
from market.live import messages
from market.live.messages import SocketErrorCode
from market.live.requests import Subscribe, Unsubscribe, parse_request
from tests.clients import Client
from tests.sources import ROOT, sources
from tests.wire_schema import complaints_of_request, complaints_of_sent
from trade_canvas.asyncapi import EXAMPLES, schemas

PAGE = (ROOT / "docs" / "ws-protocol.md").read_text()
DEBUG_PAGE = (ROOT / "docs" / "debug-stream.md").read_text()
SERIES = "binance:futures:PAGE/USDT:1m"
CLIENTS = {
    "python": ("client.py", [sys.executable]),
    "js": ("client.mjs", [str(Path(sys.executable).with_name("node"))]),
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def row(time, close=1.5):
    return (time, 1.0, 2.0, 0.5, close, 10.0)


@pytest.fixture
def clients(shared_stack, tmp_path):
    """Start the page's short or complete clients against a web process."""

    def start(web, series, *, complete):
        for language, (name, program) in CLIENTS.items():
            (tmp_path / name).write_text(blocks(language)[complete])
            yield shared_stack.start(
                language, [*program, str(tmp_path / name), web.url, series], {}
            )

    return start


def post(web, *candles, series=SERIES):
    async def posted():
        async with Client(web.url) as client:
            await client.ingest(series, *candles)

    asyncio.run(posted())


@pytest.mark.parametrize("language", CLIENTS)
def test_page_has_a_short_and_a_complete_client(language):
    short, complete = blocks(language)
    assert len([line for line in short.splitlines() if line]) <= 20 < len(complete.splitlines())


def test_short_clients_resume_after_a_restart(shared_stack, clients):
    series = "binance:futures:SHORT/USDT:1m"
    web = shared_stack.web()
    post(web, row(60), row(120), series=series)
    running = list(clients(web, series, complete=False))
    for client in running:
        client.wait_for_line("120 1.5")
    web.terminate()
    web = shared_stack.web(port=int(web.url.rpartition(":")[2]))
    post(web, row(180), series=series)
    for client in running:
        client.wait_for_line("180 1.5")
        lines = [line for line in client.output().splitlines() if re.match(r"\d+ [\d.]+$", line)]
        assert lines == ["60 1.5", "120 1.5", "180 1.5"]


def test_clients_follow_through_gap_revision_and_restart(shared_stack, clients):
    web = shared_stack.web()
    post(web, row(60), row(120), row(180))
    running = list(clients(web, SERIES, complete=True))

    def printed(line):
        for client in running:
            client.wait_for_line(line)

    printed("180 1.5")
    post(web, row(300))
    printed("300 1.5")
    post(web, row(60, close=1.7))
    printed("60 1.7")
    port = int(web.url.rpartition(":")[2])
    web.terminate()
    web = shared_stack.web(port=port)
    post(web, row(120, close=1.8))
    printed("120 1.8")
    post(web, row(360))
    printed("360 1.5")
    expected = ["60 1.5", "120 1.5", "180 1.5", "gap 240 300", "300 1.5"]
    expected += ["60 1.7", "120 1.8", "360 1.5"]
    for client in running:
        lines = client.output().splitlines()
        assert [line for line in lines if re.fullmatch(r"(gap )?\d+ [\d.]+", line)] == expected


def trees(*places: str) -> Iterator[ast.AST]:
    for path in sources(*places):
        yield from ast.walk(ast.parse(path.read_text()))


def texts(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def first_arguments(name: str, *places: str) -> set[str]:
    """The texts that calls of `name` have as first argument."""
    found: set[str] = set()
    for node in trees(*places):
        if isinstance(node, ast.Call) and node.args:
            called = ast.unparse(node.func).rpartition(".")[2]
            if called == name:
                found.update(texts(node.args[0]))
    return found


def message_types() -> set[str]:
    """Every type that a dict in the code of the sockets has."""
    found: set[str] = set()
    for node in trees("market/live"):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if key is not None and "type" in texts(key):
                    found.update(texts(value))
    return {each for each in found if not each.startswith("websocket.")}


def declared_types(*kinds: type) -> set[str]:
    return {schemas()[kind.__name__]["properties"]["type"]["const"] for kind in kinds}


def close_codes() -> set[int]:
    return {
        node.value
        for node in trees("market/live", "trade_canvas/edge")
        if isinstance(node, ast.Constant) and isinstance(node.value, int)
        if 1001 <= node.value <= 1015 or 4001 <= node.value <= 4095
    }


def test_page_describes_every_message_type():
    described = set(re.findall(r"^### (\w+)$", PAGE, re.MULTILINE))
    debug = set(re.findall(r'^\{"type":"(\w+)"', DEBUG_PAGE, re.MULTILINE))
    declared = declared_types(*messages.MARKET_MESSAGES)
    assert {"candle_closed", "gap", "error"} <= declared <= described
    assert debug == declared_types(*messages.DEBUG_MESSAGES)
    # No code builds a message that is not declared.
    assert message_types() == declared | debug


def test_page_and_document_have_the_same_examples():
    lines = [line for block in blocks("json") for line in block.splitlines()]
    assert len(lines) >= 15
    shown = [json.loads(line) for line in lines]
    requests = {"subscribe", "unsubscribe", "hello"}
    sent = [each for each in shown if each["type"] not in requests]
    assert [c for each in sent for c in complaints_of_sent(json.dumps(each).encode())] == []
    asked = [each for each in shown if each["type"] in requests]
    assert [c for each in asked for c in complaints_of_request(json.dumps(each))] == []
    for kind in (*messages.MARKET_REQUESTS, *messages.MARKET_MESSAGES):
        assert EXAMPLES[kind] in shown


@pytest.mark.parametrize(
    ("language", "file"), [("nginx", "nginx/trade_canvas.conf"), ("caddyfile", "caddy/Caddyfile")]
)
def test_proxies_of_the_page_are_parts_of_the_deployed_ones(language, file):
    (block,) = blocks(language)
    deployed = {line.strip() for line in (ROOT / "deploy" / file).read_text().splitlines()}
    assert {line.strip() for line in block.splitlines() if line.strip()} <= deployed


def test_page_explains_every_error_code():
    explained = re.findall(r"^\| `(\w+)` \| (?:yes|no|of a subscribe) \|", PAGE, re.MULTILINE)
    assert set(explained) == set(SocketErrorCode)
    # What a lease is refused with becomes such a code.
    assert {SocketErrorCode(refusal) for refusal in Refusal} < set(SocketErrorCode)


def test_page_gives_every_reason_of_a_bad_request():
    reasons = first_arguments("BadRequest", "market/live")
    assert {"missing series_id", "invalid json"} <= reasons
    assert {reason for reason in reasons if f"`{reason}`" not in PAGE} == set()


def test_page_names_every_event():
    events = first_arguments("Notice", "market", "factors", "overlays") | {"candle.revised"}
    assert "factor.rebuild" in events
    assert {event for event in events if f"| `{event}` |" not in PAGE} == set()


def test_page_explains_every_close_code():
    assert {1001, 1008, 1009, 1013, 4008} <= close_codes()
    assert {code for code in close_codes() if f"| {code} |" not in PAGE} == set()


def test_requests_of_the_page_are_accepted():
    messages = [line for block in blocks("json") for line in block.splitlines()]
    requests = [
        parse_request(line)
        for line in messages
        if json.loads(line)["type"] in ("subscribe", "unsubscribe")
    ]
    assert [type(each) for each in requests] == [Subscribe, Unsubscribe]
