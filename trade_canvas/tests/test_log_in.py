"""Limits of attempts to log in."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from django.contrib.auth.models import User
from django.core.cache import caches
from django.test import Client

from lab.waiting import patience
from trade_canvas import log_in

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse"
LOG_IN = "/admin/login/"


@pytest.fixture(autouse=True)
def account(settings):
    settings.CACHES = {
        name: {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": name}
        for name in (log_in.SHARED, log_in.OWN)
    }
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    for name in settings.CACHES:
        caches[name].clear()
    return User.objects.create_superuser("boss", password=PASSWORD)


def attempt(password, *, user="boss", address="203.0.113.7"):
    return Client(REMOTE_ADDR=address).post(LOG_IN, {"username": user, "password": password})


def is_in(response):
    return response.status_code == 302


def guess(times, **given):
    for number in range(times):
        assert not is_in(attempt(f"guess {number}", **given))


def test_right_password_is_refused_after_too_many_guesses():
    guess(log_in.MOST_PAIR)
    response = attempt(PASSWORD)
    assert not is_in(response)
    assert str(log_in.TOO_MANY) in response.content.decode()


def test_case_of_the_name_does_not_matter():
    guess(log_in.MOST_PAIR, user="BOSS")
    assert not is_in(attempt(PASSWORD))


def test_administrator_at_another_address_is_not_locked_out():
    guess(log_in.MOST_PAIR)
    assert is_in(attempt(PASSWORD, address="198.51.100.1"))


def test_address_is_limited_over_all_accounts():
    for number in range(log_in.MOST_ADDRESS):
        guess(1, user=f"user{number}")
    assert not is_in(attempt(PASSWORD))


def test_account_is_limited_over_all_addresses(monkeypatch):
    monkeypatch.setattr(log_in, "MOST_ACCOUNT", 8)
    for number in range(8):
        guess(1, address=f"198.51.100.{number}")
    assert not is_in(attempt(PASSWORD, address="192.0.2.1"))


def test_success_resets_the_count():
    for _ in range(2):
        guess(log_in.MOST_PAIR - 1)
        assert is_in(attempt(PASSWORD))


def test_nothing_is_counted_while_switched_off(settings):
    settings.SWITCHES = replace(settings.SWITCHES, enable_log_in_throttle=False)
    guess(log_in.MOST_PAIR + 1)
    assert is_in(attempt(PASSWORD))


def test_attempts_are_limited_without_the_shared_cache(settings):
    settings.CACHES["default"] = {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": "redis://127.0.0.1:1/0",
    }
    guess(log_in.MOST_PAIR)
    assert not is_in(attempt(PASSWORD))


def test_parallel_attempts_are_all_counted():
    together = threading.Barrier(8)
    counts = []

    def count():
        together.wait(patience(5))
        counts.append(log_in.count("log_in.same"))

    threads = [threading.Thread(target=count) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(patience(10))
    assert sorted(counts) == list(range(1, 9))
