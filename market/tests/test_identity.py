"""The id in every name outside the database, and the refusal of a copy of the database."""

from __future__ import annotations

import asyncio
import dataclasses
from contextlib import closing

import pytest
import redis
from django.core.management import call_command
from django.db import OperationalError

from market import identity, singletons
from market.stores.installation import read_identity


@pytest.fixture
def bus(settings):
    """The bus, without what it knows of this installation before and after the test.

    It is shared with other test processes, so the rest stays.
    """
    with closing(redis.Redis.from_url(settings.REDIS_URL, decode_responses=True)) as client:
        client.delete(identity.prefix() + "database")
        yield client
        singletons.reset()
        client.delete(identity.prefix() + "database")


def replace_database(bus):
    """Have the bus know the installation by a database that is not this one."""
    bus.set(identity.prefix() + "database", "another")


def switch(settings, **switches):
    settings.SWITCHES = dataclasses.replace(settings.SWITCHES, **switches)


@pytest.mark.django_db
def test_the_prefix_is_the_databases():
    assert read_identity().installation_id in identity.prefix()
    assert asyncio.run(identity.known_prefix()) == identity.prefix()


@pytest.mark.django_db
def test_a_database_that_the_bus_does_not_know_is_remembered(bus):
    identity.check()
    key = identity.prefix() + "database"
    assert bus.get(key)
    assert bus.ttl(key) > 0
    identity.check()


@pytest.mark.django_db
def test_a_copy_is_refused_with_both_remedies(bus):
    replace_database(bus)
    with pytest.raises(identity.WrongInstallation) as refused:
        identity.check_at_start()
    (line,) = str(refused.value).splitlines()
    assert line.startswith("wrong_installation: ")
    assert "installation --new" in line
    assert "installation --adopt" in line


@pytest.mark.django_db(transaction=True)
def test_a_copy_gets_an_id_of_its_own(bus):
    replace_database(bus)
    before = read_identity()
    call_command("installation", "--new")
    after = read_identity()
    assert after.installation_id != before.installation_id
    singletons.reset()
    identity.check()
    assert after.installation_id in identity.prefix()


@pytest.mark.django_db
def test_a_replacement_is_adopted(bus):
    replace_database(bus)
    with pytest.raises(identity.WrongInstallation):
        call_command("installation")
    generation = read_identity().generation
    call_command("installation", "--adopt")
    identity.check()
    assert read_identity().generation != generation


@pytest.mark.django_db
def test_a_database_of_another_installation_is_refused(settings):
    switch(settings, installation_id="0123456789abcdef")
    with pytest.raises(identity.WrongInstallation, match="TRADE_CANVAS_INSTALLATION_ID"):
        identity.check_at_start()
    switch(settings, installation_id=read_identity().installation_id)
    identity.check_at_start()


def test_memory_has_an_id_and_asks_no_database(settings, monkeypatch):
    monkeypatch.setattr(identity, "_read_from_database", pytest.fail)
    switch(settings, enable_pg_store=False)
    first = identity.installation_id()
    assert identity.installation_id() == first


def test_the_id_is_read_again_until_the_database_answers(monkeypatch):
    answers = [OperationalError("away"), ("1" * 16, "server/1")]

    def read():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(identity, "_read_from_database", read)
    with pytest.raises(identity.IdentityUnknown, match="away"):
        identity.prefix()
    monkeypatch.setattr(identity, "RETRY_S", 0.0)
    assert identity.installation_id() == "1" * 16


def test_a_database_that_is_away_is_asked_once_a_second(monkeypatch):
    calls = []

    def read():
        calls.append(1)
        raise OperationalError("away")

    monkeypatch.setattr(identity, "_read_from_database", read)
    for _ in range(3):
        with pytest.raises(identity.IdentityUnknown):
            identity.prefix()
    assert len(calls) == 1


def test_an_unreachable_bus_is_no_reason_not_to_start(settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    identity.check_at_start()


def test_a_kept_id_stands_in_while_the_database_is_away(settings, tmp_path, monkeypatch):
    settings.DATA_DIR = tmp_path
    known = identity.prefix()
    identity.keep()
    singletons.reset()

    def away():
        raise OperationalError("away")

    monkeypatch.setattr(identity, "_read_from_database", away)
    assert identity.kept_prefix() == known
    settings.DATABASE_URL = "postgres://another/database"
    with pytest.raises(identity.IdentityUnknown):
        identity.kept_prefix()
