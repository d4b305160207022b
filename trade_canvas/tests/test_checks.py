"""Configurations that must not serve."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trade_canvas.checks import UnsafeToStart, check_production, errors, refuse_unsafe_start

GOOD = "k" * 20 + "-some-random-looking-key-0123456789"


@pytest.fixture(autouse=True)
def production(settings, monkeypatch):
    monkeypatch.delenv("ADMIN_PASSWORD", raising=False)
    settings.DEBUG = False
    settings.SECRET_KEY = GOOD
    settings.ALLOWED_HOSTS = ["chart.example"]
    settings.CORS_ALLOWED_ORIGINS = []
    settings.SWITCHES = replace(
        settings.SWITCHES, enable_debug_api=False, enable_dev_api=False, ingest_token=""
    )


def ids():
    return [each.id for each in check_production()]


def test_safe_configuration_has_no_errors():
    refuse_unsafe_start()
    assert ids() == []


@pytest.mark.parametrize("key", ["secret", "changeme", "django-insecure-" + GOOD, "k" * 31])
def test_known_or_short_secret_key_is_refused(settings, key):
    settings.SECRET_KEY = key
    with pytest.raises(UnsafeToStart, match=r"trade_canvas\.E001"):
        refuse_unsafe_start()


@pytest.mark.parametrize("hosts", [[], [""], [" "]])
def test_missing_host_names_are_refused(settings, hosts):
    settings.ALLOWED_HOSTS = hosts
    with pytest.raises(UnsafeToStart, match=r"trade_canvas\.E002"):
        refuse_unsafe_start()


@pytest.mark.parametrize("password", ["admin", "password", "short"])
def test_known_or_short_admin_password_is_refused(password):
    assert [each.id for each in errors({"ADMIN_PASSWORD": password})] == ["trade_canvas.E003"]


def test_short_ingest_token_is_refused(settings):
    settings.SWITCHES = replace(settings.SWITCHES, ingest_token="short")
    with pytest.raises(UnsafeToStart, match=r"trade_canvas\.E004"):
        refuse_unsafe_start()


def test_refusal_contains_no_secret(settings):
    settings.SECRET_KEY = "too-short-key"
    with pytest.raises(UnsafeToStart) as refusal:
        refuse_unsafe_start()
    assert "too-short-key" not in str(refusal.value)


def test_any_configuration_starts_with_debug_on(settings):
    settings.DEBUG = True
    settings.SECRET_KEY = "x"
    refuse_unsafe_start()


def test_risky_configuration_starts_with_warnings(settings):
    settings.ALLOWED_HOSTS = ["*"]
    settings.CORS_ALLOWED_ORIGINS = ["http://localhost:5173"]
    settings.SWITCHES = replace(settings.SWITCHES, enable_debug_api=True)
    refuse_unsafe_start()
    assert ids() == ["trade_canvas.W001", "trade_canvas.W002", "trade_canvas.W003"]


@pytest.mark.parametrize(
    ("switches", "found"),
    [
        ({"ondemand_max_jobs": 50}, []),
        ({"ondemand_max_jobs": 50, "ondemand_max_series_per_address": 49}, []),
        ({"ondemand_max_jobs": 50, "ondemand_max_series_per_address": 50}, ["trade_canvas.E005"]),
        (
            {
                "ondemand_max_jobs": 50,
                "ondemand_max_series_per_address": 50,
                "ws_max_subscriptions": 20,
            },
            [],
        ),
        ({"ondemand_max_jobs": 2}, []),
        ({"ondemand_max_jobs": 1}, []),
        ({"ondemand_max_jobs": 0, "ondemand_max_series_per_address": 9}, []),
    ],
)
def test_one_connection_must_not_have_every_series_followed(settings, switches, found):
    settings.SWITCHES = replace(settings.SWITCHES, enable_ondemand_ingest=True, **switches)
    assert [each.id for each in errors({})] == found


def test_unbounded_on_demand_ingest_is_warned_of(settings):
    settings.SWITCHES = replace(settings.SWITCHES, enable_ondemand_ingest=True)
    assert "trade_canvas.W004" in ids()
