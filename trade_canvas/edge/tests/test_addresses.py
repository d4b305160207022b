"""The address that a request is attributed to."""

from __future__ import annotations

import pytest

from market.networks import network_of
from trade_canvas.edge.addresses import TrustedProxies, forwarded_client, peer_of

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
        (1, [f"{CLIENT}:4100"], CLIENT),
        (1, ["[2001:db8::1]:4100"], "2001:db8::1"),
        (1, ["[2001:db8::1]"], "2001:db8::1"),
        (1, ['"[2001:db8::1]:4100"'], "2001:db8::1"),
        (2, [f"1.2.3.4:1, {CLIENT}:4100, 10.0.0.2:5000"], CLIENT),
        (1, [f"{CLIENT}:port"], ""),
        (1, [f"{CLIENT}:4100:4100"], ""),
        (1, ["[2001:db8::1"], ""),
        (1, [f"[{CLIENT}"], ""),
    ],
)
def test_client_is_what_the_outermost_trusted_proxy_saw(count, values, found):
    assert forwarded_client(forwarded(*values), count) == found


@pytest.mark.parametrize(
    ("count", "values", "found"),
    [
        (1, [f"for={CLIENT}"], CLIENT),
        (1, ['proto=https;For="[2001:db8::1]:4100";by=10.0.0.2'], "2001:db8::1"),
        (2, [f'for=1.2.3.4, for="{CLIENT}:4100";proto=https', "for=10.0.0.2"], CLIENT),
        (1, ["for=unknown"], ""),
        (1, ["for=_hidden"], ""),
        (1, ["proto=https"], ""),
        (2, [f"for={CLIENT}"], ""),
    ],
)
def test_client_may_be_named_by_the_forwarded_header(count, values, found):
    headers = [(b"forwarded", value.encode()) for value in values]
    assert forwarded_client(headers, count) == found


def test_forwarded_header_counts_only_without_the_older_one():
    headers = [*forwarded(CLIENT), (b"forwarded", b"for=1.2.3.4")]
    assert forwarded_client(headers, 1) == CLIENT


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


async def test_clients_behind_a_proxy_that_adds_ports_have_addresses_of_their_own():
    seen = {
        await address_seen(count=1, headers=forwarded(f"203.0.113.{host}:4{host}00"))
        for host in (7, 8)
    }
    assert seen == {"203.0.113.7", "203.0.113.8"}


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
