"""Where webhooks may lead, how they are signed, and when they are tried again."""

from __future__ import annotations

import pytest

from factors.alerts.delivery import FIRST_PAUSE_S, LONGEST_PAUSE_S, pause_after
from factors.alerts.signing import signature
from factors.alerts.webhook import Networks


def test_signature_is_that_of_standard_webhooks():
    """The example of the specification's reference implementations."""
    body = '{"test": 2432232314}'
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    found = signature("msg_p5jXN8AQM9LWM0D4loKWxJek", body, secret, 1614265330)
    assert found == "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("address", "is_permitted"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_only_public_addresses_are_permitted(address, is_permitted):
    assert Networks("").permits(address) is is_permitted


def test_networks_that_are_allowed_are_permitted_in_every_form():
    networks = Networks("10.0.0.0/8, fd00::/8")
    assert all(networks.permits(each) for each in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1"))
    assert not any(networks.permits(each) for each in ("127.0.0.1", "192.168.0.1", "fe80::1"))
    with pytest.raises(ValueError):
        Networks("10.0.0.0/99")


def test_pauses_double_up_to_a_bound_with_jitter():
    assert [pause_after(n, lambda low, high: 1.0) for n in (1, 2, 3, 30)] == [
        FIRST_PAUSE_S,
        2 * FIRST_PAUSE_S,
        4 * FIRST_PAUSE_S,
        LONGEST_PAUSE_S,
    ]
    assert len({pause_after(3) for _ in range(5)}) > 1
