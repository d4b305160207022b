"""Who may write."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from market.api.tests.asking import BATCH, CLOSED, FORMING, SERIES, candle, refusal

pytestmark = pytest.mark.usefixtures("on_postgres")

BODY = {"series_id": SERIES, "candle": candle(60)}


def post(path=CLOSED, *, client=None, body=BODY, **headers):
    client = client or Client()
    return client.post(path, body, content_type="application/json", headers=headers)


@pytest.mark.parametrize("path", [CLOSED, FORMING, BATCH])
def test_write_without_credentials_is_refused(path):
    response = post(path)
    assert refusal(response) == (401, "not_authenticated")
    assert response["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("given", ["Bearer wrong", "Bearer ", "Basic dDp0", "Bearer é", "token"])
def test_wrong_token_is_refused(given):
    assert refusal(post(Authorization=given)) == (401, "invalid_token")


def test_token_under_another_scheme_is_refused(api):
    assert refusal(post(Authorization=f"Digest {api.token}")) == (401, "invalid_token")


def test_token_is_enough(api):
    assert post(Authorization=f"bearer {api.token}").status_code == 200


@pytest.mark.parametrize("debug", [True, False])
def test_without_a_token_only_loopback_with_debug_may_write(switch, settings, debug):
    switch(ingest_token="")
    settings.DEBUG = debug
    here = post()
    elsewhere = post(client=Client(REMOTE_ADDR="192.0.2.7"))
    behind_a_proxy = post(**{"X-Forwarded-For": "192.0.2.7"})
    assert here.status_code == (200 if debug else 403)
    assert refusal(elsewhere) == refusal(behind_a_proxy) == (403, "writes_disabled")


def logged_in(**rights):
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_user("someone", **rights))
    return client


def test_admin_session_needs_the_csrf_token():
    client = logged_in(is_staff=True)
    assert refusal(post(client=client)) == (403, "csrf_failed")
    client.get("/admin/")
    client.cookies["csrftoken"] = token = "a" * 32
    assert post(client=client, **{"X-CSRFToken": token}).status_code == 200


def test_session_without_staff_rights_is_refused():
    assert refusal(post(client=logged_in())) == (401, "not_authenticated")


def test_read_needs_nothing():
    assert Client().get("/api/market/whitelist").status_code == 200
