"""What stands for a client's address outside the process."""

from __future__ import annotations

from market.networks import digest_of


def test_digest_of_an_address_needs_the_secret_key(settings):
    settings.SECRET_KEY = "one"
    first = digest_of("203.0.113.7")
    assert digest_of("203.0.113.7") == first
    assert digest_of("203.0.113.8") != first
    assert "203.0.113.7" not in first
    settings.SECRET_KEY = "other"
    assert digest_of("203.0.113.7") != first
