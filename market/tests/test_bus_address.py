"""REDIS_URL as people write it, translated for every library that reads it."""

from __future__ import annotations

import ssl

import pytest

from market.bus_address import BusAddress, BusAddressError, parse


@pytest.mark.parametrize(
    ("text", "client", "broker"),
    [
        ("redis://bus", "redis://bus:6379/0", "redis://bus:6379/0"),
        ("valkey://bus:7000/3", "redis://bus:7000/3", "redis://bus:7000/3"),
        ("redis://:p%40ss@bus/1", "redis://:p%40ss@bus:6379/1", "redis://:p%40ss@bus:6379/1"),
        ("redis://u:p@[::1]:1/0", "redis://u:p@[::1]:1/0", "redis://u:p@[::1]:1/0"),
        ("redis://bus?db=4", "redis://bus:6379/4", "redis://bus:6379/4"),
        (
            "unix://u:p@/run/v.sock?db=2",
            "unix://u:p@/run/v.sock?db=2",
            "redis+socket://u:p@/run/v.sock?virtual_host=2",
        ),
        (
            "redis+socket:///run/v.sock?virtual_host=2",
            "unix:///run/v.sock?db=2",
            "redis+socket:///run/v.sock?virtual_host=2",
        ),
        ("rediss://bus", "rediss://bus:6379/0", "rediss://bus:6379/0"),
        (
            "valkeys://bus/1?ssl_cert_reqs=CERT_NONE",
            "rediss://bus:6379/1?ssl_cert_reqs=none&ssl_check_hostname=false",
            "rediss://bus:6379/1",
        ),
    ],
)
def test_an_address_is_written_for_clients_and_for_the_broker(text, client, broker):
    (address,) = parse(text)
    assert (address.client_url, address.broker_url) == (client, broker)


def test_tls_of_the_broker_verifies_unless_told_otherwise():
    (address,) = parse("rediss://bus?ssl_ca_certs=/etc/ca.pem")
    assert address.broker_tls == {
        "ssl_ca_certs": "/etc/ca.pem",
        "ssl_cert_reqs": ssl.CERT_REQUIRED,
        "ssl_check_hostname": True,
    }
    assert parse("redis://bus")[0].broker_tls is None


def test_several_addresses_keep_their_order():
    found = parse("redis://:a,b@one:1/0, rediss://two , unix:///three.sock")
    assert [each.host or each.path for each in found] == ["one", "two", "/three.sock"]
    assert found[0].password == "a,b"
    assert parse("") == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("bus:6379", "scheme"),
        ("sentinel://bus", "sentinel scheme"),
        ("redis://bus/first", "no number"),
        ("redis://bus:port", "no number"),
        ("redis://bus?socket_timeout=1", "unknown option socket_timeout"),
        ("redis://bus?ssl_ca_certs=/ca.pem", "unknown option ssl_ca_certs"),
        ("rediss://bus?ssl_cert_reqs=maybe", "ssl_cert_reqs"),
        ("unix://run/v.sock", "three slashes"),
        ("redis://user@bus", "without a password"),
        ("redis://:hunter#2@bus", "%23"),
        ("redis://bus,redis://bus:6379/0", "twice"),
    ],
)
def test_what_some_library_would_misread_is_refused(text, reason):
    with pytest.raises(BusAddressError, match="^redis_url_invalid: .*" + reason) as refused:
        parse(text)
    assert "hunter" not in str(refused.value)


def test_a_password_is_not_shown():
    assert "secret" not in repr(BusAddress(host="bus", password="secret"))
