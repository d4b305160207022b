"""What processes write to their logs when a server fails or strangers knock."""

from __future__ import annotations

import re
import socket
from contextlib import closing
from functools import partial
from urllib.parse import urlsplit

import pytest
import redis

from lab.http import get
from lab.waiting import patience, wait_until
from tests.conftest import INSTALLED

# Lines that one process may write about a full Valkey, tracebacks included.
MOST_LINES = 250
REPEATED = re.compile(r"repeated,? ([\d,]+) times more")


def handshake(web, path="/ws/market", host="", **headers):
    """Ask for a WebSocket and return the status of the answer."""
    address = urlsplit(web.url)
    given = {
        "Host": host or address.netloc,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    with closing(socket.create_connection((address.hostname, address.port), patience(5))) as stream:
        stream.sendall("\r\n".join([*lines, "", ""]).encode())
        return int(stream.recv(64).split()[1])


def test_refused_handshakes_and_hosts_write_no_line(session_stack):
    web = session_stack.web(
        TRADE_CANVAS_WS_MAX_CONNECTIONS_PER_ADDRESS="1",
        TRADE_CANVAS_ENABLE_RUNTIME_METRICS="1",
    )
    before = web.output()
    for _ in range(3):
        assert handshake(web, Origin="http://evil.example") == 403
        assert handshake(web, host="evil.example", Origin="http://evil.example") == 403
        assert handshake(web, path="/nowhere") == 403
        assert handshake(web, Sec_WebSocket_Key="short") == 400
        assert (
            handshake(web, host="evil.example", path="/", Upgrade="no", Connection="close") == 400
        )
    counted = str(get(f"{web.url}/api/market/debug/metrics")[1])
    assert "market_ws_handshakes_refused_total" in counted and "origin_not_allowed" in counted
    # Everything it wrote about them is in the log once it has ended.
    assert web.terminate() == 0
    assert [line for line in web.output()[len(before) :].splitlines() if "INFO" not in line] == []


@pytest.mark.prove
def test_full_valkey_writes_a_bounded_number_of_lines(stack):
    stack.environment |= INSTALLED | {"TRADE_CANVAS_ENABLE_CAPACITY_METRICS": "1"}
    stack.local_exchange()
    stack.whitelist(["sim:spot:BTC/USDT:1s", "sim:spot:ETH/USDT:1s"])
    web = stack.start_all()
    wait_until(stack.heads, 30, "candles to be stored")
    programs = [web, *stack.workers, *stack.beats]
    before = {each.name: len(each.output().splitlines()) for each in programs}
    with closing(redis.Redis.from_url(stack.valkey.url)) as valkey:
        valkey.config_set("maxmemory", 1)
        wait_until(lambda: get(f"{web.url}/readyz")[0] == 503, 30, "it to be unready")
        refusals = rejected(valkey)
        wait_until(lambda: rejected(valkey) > refusals + 200, 60, "200 calls to be refused")
        valkey.config_set("maxmemory", 0)
    wait_until(lambda: get(f"{web.url}/readyz")[0] == 200, 30, "it to be ready again")
    for each in (*stack.workers, *stack.beats):
        each.wait_until(partial(has_recovered, each), 60, "over it")
    for each in programs:
        assert len(each.output().splitlines()) - before[each.name] < MOST_LINES, each.output()
    folded = REPEATED.findall("".join(each.output() for each in programs))
    assert sum(int(each.replace(",", "")) for each in folded) > 20
    head = max(stack.heads().values())
    wait_until(lambda: max(stack.heads().values()) > head + 3, 60, "candles to be stored again")


def has_recovered(program):
    """Whether its log says that what was repeated has ended."""
    return "no longer repeated" in program.output()


def rejected(valkey):
    """The number of calls that Valkey refused since its start."""
    return int(valkey.info("stats")["total_error_replies"])
