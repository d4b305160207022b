"""The web pages that may call us."""

from __future__ import annotations

import pytest

from market.api.callers import is_allowed_origin

HOST = "chart.example:8443"


@pytest.fixture(autouse=True)
def hosts(settings):
    settings.ALLOWED_HOSTS = ["chart.example", ".wild.example", "[::1]"]
    settings.CORS_ALLOWED_ORIGINS = ["http://localhost:5173"]


@pytest.mark.parametrize(
    "origin",
    [
        "https://chart.example",
        "https://CHART.example:8443",
        "http://chart.example",
        "https://a.wild.example",
        "http://[::1]:8000",
        "http://localhost:5173",
    ],
)
def test_page_of_ours_or_named_by_the_switch_is_allowed(origin):
    assert is_allowed_origin(origin, HOST)


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "https://chart.example.evil.example",
        "https://evilchart.example",
        "http://localhost:5174",
        "null",
        "",
        "file://chart.example",
        "https://",
        "http://[::1",
        "https://chart.example@evil.example",
    ],
)
def test_page_of_others_is_not_allowed(origin):
    assert not is_allowed_origin(origin, HOST)


def test_where_every_host_is_allowed_only_the_requests_own_counts(settings):
    settings.ALLOWED_HOSTS = ["*"]
    assert is_allowed_origin(f"https://{HOST}", HOST)
    assert not is_allowed_origin("https://evil.example", HOST)
