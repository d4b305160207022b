"""The address that a request is attributed to."""

from __future__ import annotations

import pytest

from trade_canvas.edge.addresses import TrustedProxies, forwarded_client, network_of, peer_of

PEER = "10.0.0.9"
CLIENT = "203.0.113.7"


def forwarded(*values):
    return [(b"x-forwarded-for", value.encode()) for value in values]


@pytest.mark.parametrize(
    ("count", "values", "found"),
    [
        (1, [CLIENT], CLIENT),
        (1, [f"1.2.3.4, {CLIENT}"], CLIENT),
        (1, ["127.0.0.1", CLIENT], CLIENT),
        (2, [f"1.2.3.4, {CLIENT},10.0.0.2"], CLIENT),
        (2, ["2001:db8::1, 10.0.0.2"], "2001:db8::1"),
        (2, [CLIENT], ""),
        (1, [], ""),
        (1, ["unknown"], ""),
        (1, [f"{CLIENT}, "], ""),
    ],
)
def test_client_is_what_the_outermost_trusted_proxy_saw(count, values, found):
    assert forwarded_client(forwarded(*values), count) == found


async def address_seen(*, count, headers):
    seen = []

    async def application(scope, receive, send):
        seen.append(peer_of(scope))

    scope = {"type": "http", "client": (PEER, 1234), "headers": headers}
    await TrustedProxies(application, count=count)(scope, None, None)
    return seen[0]


async def test_header_is_ignored_without_trusted_proxies():
    assert await address_seen(count=0, headers=forwarded(CLIENT)) == PEER


async def test_header_names_the_client_behind_a_trusted_proxy():
    assert await address_seen(count=1, headers=forwarded("127.0.0.1", CLIENT)) == CLIENT


async def test_request_that_bypassed_a_proxy_comes_from_its_peer():
    assert await address_seen(count=2, headers=forwarded("127.0.0.1")) == PEER


@pytest.mark.parametrize(
    ("address", "network"),
    [
        (CLIENT, CLIENT),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::"),
        (f"::ffff:{CLIENT}", CLIENT),
        ("fe80::1%eth0", "fe80::"),
        ("", ""),
        ("not:an:address", "not:an:address"),
    ],
)
def test_network_of_an_address_is_what_limits_count(address, network):
    assert network_of(address) == network


def test_scope_of_a_unix_socket_has_no_address():
    assert peer_of({"client": None}) == ""
