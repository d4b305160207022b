"""Who may open `/ws/debug`."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.test import Client

from market.live.debug import IS_ADMITTED
from trade_canvas.edge.debug_admission import DebugAdmission

OWN, FOREIGN = "http://localhost:8000", "https://elsewhere.example"


@pytest.fixture(autouse=True)
def _served(settings):
    settings.ALLOWED_HOSTS = ["localhost"]
    settings.SWITCHES = replace(settings.SWITCHES, ingest_token="a long enough token")


class Handshake:
    """One attempt to connect."""

    def __init__(self, *headers, address="203.0.113.7"):
        self.sent = []
        self.scope = {
            "type": "websocket",
            "path": "/ws/debug",
            "query_string": b"",
            "headers": [(b"host", b"localhost:8000"), *headers],
            "extensions": {"websocket.http.response": {}},
            "client": (address, 1),
        }
        self.inside = False

    async def _application(self, scope, receive, send):
        self.inside = True

    async def _receive(self):
        return {"type": "websocket.connect"}

    async def _send(self, message):
        self.sent.append(message)

    def result(self):
        """True when admitted, else the code of the refusal."""
        admission = DebugAdmission(self._application)
        async_to_sync(admission)(self.scope, self._receive, self._send)
        if self.inside:
            return True
        start, body = self.sent
        assert start["status"] == 403
        return orjson.loads(body["body"])["code"]


def session_of(**rights):
    """The cookie header of a user who is logged in."""
    client = Client()
    client.force_login(User.objects.create_user("someone", **rights))
    name = django_settings.SESSION_COOKIE_NAME
    return b"cookie", f"{name}={client.cookies[name].value}".encode()


@pytest.mark.django_db(transaction=True)
def test_staff_session_is_admitted_until_it_ends():
    handshake = Handshake(session_of(is_staff=True), (b"origin", OWN.encode()))
    assert handshake.result() is True
    still_admitted = async_to_sync(handshake.scope[IS_ADMITTED])
    assert still_admitted()
    User.objects.update(is_active=False)
    assert not still_admitted()


@pytest.mark.django_db(transaction=True)
def test_other_sessions_are_refused():
    assert Handshake(session_of()).result() == "not_authenticated"
    cookie = f"{django_settings.SESSION_COOKIE_NAME}=made-up".encode()
    assert Handshake((b"cookie", cookie)).result() == "not_authenticated"


def test_stranger_and_holder_of_the_ingest_token_are_refused():
    assert Handshake().result() == "not_authenticated"
    assert Handshake((b"authorization", b"Bearer a long enough token")).result() == (
        "not_authenticated"
    )


def test_loopback_with_debug_needs_a_session_once_a_token_is_set(settings):
    settings.DEBUG = True
    assert Handshake(address="127.0.0.1").result() == "not_authenticated"
    settings.SWITCHES = replace(settings.SWITCHES, ingest_token="")
    assert Handshake(address="127.0.0.1").result() is True
    assert Handshake(address="203.0.113.7").result() == "not_authenticated"
    proxied = Handshake((b"x-forwarded-for", b"203.0.113.7"), address="127.0.0.1")
    assert proxied.result() == "not_authenticated"


@pytest.mark.django_db(transaction=True)
def test_foreign_page_is_refused_wherever_charts_may_be_embedded(settings):
    settings.SWITCHES = replace(settings.SWITCHES, enable_ws_any_origin=True)
    handshake = Handshake(session_of(is_staff=True), (b"origin", FOREIGN.encode()))
    assert handshake.result() == "origin_not_allowed"


@pytest.mark.django_db(transaction=True)
def test_switched_off_it_is_refused_for_all(settings):
    settings.SWITCHES = replace(settings.SWITCHES, enable_debug_api=False)
    assert Handshake(session_of(is_staff=True)).result() == "debug_api_disabled"
