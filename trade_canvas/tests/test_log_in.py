"""Guessing the admin's password."""

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
    assert log_in.TOO_MANY in response.content.decode()


def test_case_of_the_name_makes_no_new_account():
    guess(log_in.MOST_PAIR, user="BOSS")
    assert not is_in(attempt(PASSWORD))


def test_administrator_elsewhere_is_not_locked_out():
    guess(log_in.MOST_PAIR)
    assert is_in(attempt(PASSWORD, address="198.51.100.1"))


def test_address_can_not_go_through_accounts():
    for number in range(log_in.MOST_ADDRESS):
        guess(1, user=f"user{number}")
    assert not is_in(attempt(PASSWORD))


def test_account_can_not_be_tried_from_everywhere(monkeypatch):
    monkeypatch.setattr(log_in, "MOST_ACCOUNT", 8)
    for number in range(8):
        guess(1, address=f"198.51.100.{number}")
    assert not is_in(attempt(PASSWORD, address="192.0.2.1"))


def test_success_forgets_the_guesses_before_it():
    for _ in range(2):
        guess(log_in.MOST_PAIR - 1)
        assert is_in(attempt(PASSWORD))


def test_switched_off_nothing_is_counted(settings):
    settings.SWITCHES = replace(settings.SWITCHES, enable_log_in_throttle=False)
    guess(log_in.MOST_PAIR + 1)
    assert is_in(attempt(PASSWORD))


def test_guesses_are_bounded_while_the_bus_is_away(settings):
    settings.CACHES["default"] = {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": "redis://127.0.0.1:1/0",
    }
    guess(log_in.MOST_PAIR)
    assert not is_in(attempt(PASSWORD))


def test_tries_at_once_are_all_counted():
    together = threading.Barrier(8)
    counts = []

    def count():
        together.wait(patience(5))
        counts.append(log_in._counted("log_in.same"))

    threads = [threading.Thread(target=count) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(patience(10))
    assert sorted(counts) == list(range(1, 9))
