"""/metrics: access and content."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.http import get_text
from lab.waiting import wait_until
from market.live import metrics
from market.metrics_registry import collecting
from trade_canvas.edge.metrics_endpoint import WORKER, MetricsPath, MetricsServer
from trade_canvas.embedded.server import free_port, is_port_free

TOKEN = "token-of-prometheus"


@pytest.fixture(autouse=True)
def switches(settings):
    settings.SWITCHES = replace(
        settings.SWITCHES,
        enable_capacity_metrics=True,
        metrics_token=TOKEN,
        metrics_networks="127.0.0.0/8, nonsense, 10.1.0.0/16",
    )


async def ask(*, path="/metrics", method="GET", client="192.0.2.7", **headers):
    """Status and body of a request from an address."""
    sent = []

    async def passed_on(scope, receive, send):
        await send({"type": "http.response.start", "status": 299, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(message):
        sent.append(message)

    given = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    scope = {"type": "http", "path": path, "method": method, "headers": given}
    scope["client"] = (client, 50000) if client else None
    await MetricsPath(passed_on, registries=WORKER)(scope, None, send)
    return sent[0]["status"], sent[1]["body"].decode()


async def test_token_gives_access_from_any_address():
    with collecting():
        metrics.WATCHERS.set(3)
        status, text = await ask(authorization=f"Bearer {TOKEN}")
    assert status == 200
    assert "\nmarket_ws_watchers 3.0\n" in text
    assert "process_resident_memory_bytes" in text


@pytest.mark.parametrize(
    ("client", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("10.1.2.3", {}, 200),
        ("192.0.2.7", {}, 401),
        ("", {}, 401),
        ("127.0.0.1", {"x_forwarded_for": "127.0.0.1"}, 401),
        ("127.0.0.1", {"authorization": "Bearer wrong"}, 401),
        ("192.0.2.7", {"authorization": TOKEN}, 401),
    ],
)
async def test_access_without_the_token_is_for_allowed_networks(client, headers, status):
    assert (await ask(client=client, **headers))[0] == status


async def test_other_requests_are_passed_on():
    assert (await ask(path="/metrics/"))[0] == 299
    assert (await ask(method="POST", client="127.0.0.1"))[0] == 405


async def test_metrics_are_not_served_while_switched_off(settings):
    settings.SWITCHES = replace(settings.SWITCHES, enable_capacity_metrics=False)
    assert (await ask(client="127.0.0.1"))[0] == 299


def test_worker_serves_its_metrics_on_a_port_of_their_own():
    port = free_port()
    server = MetricsServer("127.0.0.1", port)
    server.start()
    try:
        wait_until(lambda: not is_port_free(port), what="the server to listen")
        assert "process_resident_memory_bytes" in get_text(f"http://127.0.0.1:{port}/metrics")
    finally:
        server.stop()
