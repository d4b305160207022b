"""The identity of a store, in PostgreSQL and in memory."""

from __future__ import annotations

import dataclasses

import pytest
from django.db import IntegrityError, transaction

from market import runtime, singletons
from market.domain.series import SeriesId
from market.models import Installation
from market.stores.installation import read_identity


@pytest.mark.django_db
def test_the_migration_gives_the_database_an_identity():
    row = Installation.objects.get()
    identity = read_identity()
    assert (identity.installation_id, identity.generation) == (row.installation_id, row.generation)
    assert len({identity.installation_id, identity.generation}) == 2


@pytest.mark.django_db
def test_an_emptied_table_gets_one_new_identity():
    before = read_identity()
    Installation.objects.all().delete()
    after = read_identity()
    assert after.installation_id != before.installation_id
    assert read_identity() == after


@pytest.mark.django_db
def test_there_is_no_second_row():
    with pytest.raises(IntegrityError), transaction.atomic():
        Installation.objects.create(id=2)


def test_memory_has_one_generation_a_process(settings):
    settings.SWITCHES = dataclasses.replace(settings.SWITCHES, enable_pg_store=False)
    series = SeriesId.parse("sim:spot:BTC/USDT:1m")
    first = runtime.candle_store().state(series).generation
    assert runtime.candle_store().state(series).generation == first
    singletons.reset()
    assert runtime.candle_store().state(series).generation != first
