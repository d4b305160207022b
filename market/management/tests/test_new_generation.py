"""`manage.py new_generation`, and what the store's generation depends on."""

from __future__ import annotations

import pytest
from django.db import connection, transaction

from market.domain.store import StaleFence
from market.models import Installation
from market.pipeline import Pipeline
from market.tests.builders import MINUTE, candles


def test_generation_changes_and_is_printed(empty_store, run):
    before = empty_store.generation()
    printed = run("new_generation")
    after = empty_store.generation()
    assert after != before
    assert printed == f"generation {after} (before: {before})\n"
    assert empty_store.state(MINUTE).generation == after


def test_older_fences_are_refused(empty_store, run):
    fence = empty_store.next_fence(MINUTE)
    run("new_generation")
    with pytest.raises(StaleFence):
        Pipeline(empty_store).ingest(MINUTE, candles(60), fence=fence)
    Pipeline(empty_store).ingest(MINUTE, candles(60), fence=empty_store.next_fence(MINUTE))


def test_tables_that_were_made_anew_are_another_generation(empty_store):
    before = empty_store.generation()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("CREATE TABLE restored (LIKE installation INCLUDING ALL)")
        cursor.execute("INSERT INTO restored SELECT * FROM installation")
        cursor.execute("ALTER TABLE installation RENAME TO replaced")
        cursor.execute("ALTER TABLE restored RENAME TO installation")
        after = empty_store.generation()
        transaction.set_rollback(True)
    assert after.split(".")[::2] == before.split(".")[::2]
    assert after != before == empty_store.generation()


def test_store_without_its_row_has_a_generation(empty_store):
    with transaction.atomic():
        Installation.objects.all().delete()
        assert empty_store.generation().endswith(".restoring")
        transaction.set_rollback(True)


@pytest.mark.parametrize(("hidden", "timeline"), [(False, "1."), (True, "hidden.")])
def test_timeline_is_read_by_ordinary_roles_unless_the_server_hides_it(
    empty_store, hidden, timeline
):
    """A managed service may."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("CREATE ROLE ordinary")
        cursor.execute("GRANT SELECT ON installation TO ordinary")
        if hidden:
            cursor.execute("REVOKE EXECUTE ON FUNCTION pg_walfile_name(pg_lsn) FROM PUBLIC")
        cursor.execute("SET LOCAL ROLE ordinary")
        assert empty_store.generation().startswith(timeline)
        transaction.set_rollback(True)
