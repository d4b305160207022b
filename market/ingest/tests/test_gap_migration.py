"""The migration of the gap ledger, there and back, while the release before goes on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import connection

from market.ingest.gap_ledger import PostgresGapLedger
from market.ingest.gap_ranges import GapEntry, GapState
from market.models import GapRecord, Series
from market.tests.builders import MINUTE

pytestmark = pytest.mark.django_db(transaction=True)

BEFORE = "0009"
COLUMNS = "series_id, from_time, to_time, reason, state, attempts, detected_at, updated_at"


@pytest.fixture
def migrate():
    """Migrate to a release, or the newest; afterwards that one is there again."""
    yield lambda *number: call_command("migrate", "market", *number, verbosity=0)
    call_command("migrate", "market", verbosity=0)


def insert(series, *rows):
    """Rows as the release before writes them."""
    with connection.cursor() as cursor:
        for time, state, attempts in rows:
            values = (series.pk, time, time, "not on the exchange", state, attempts)
            cursor.execute(
                f"INSERT INTO gaps ({COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, now(), now())",
                values,
            )


def states():
    return {entry.from_time: entry.state for entry in PostgresGapLedger().entries()}


def test_absent_gaps_had_no_evidence_and_are_requested_again_within_a_day(migrate):
    series = Series.objects.create(name=str(MINUTE))
    migrate(BEFORE)
    insert(series, (60, "open", 2), (180, "absent", 5), (300, "filled", 1), (420, "open", 5))
    migrate()
    assert states() == {
        60: GapState.OPEN,
        180: GapState.UNANSWERED,
        300: GapState.REPAIRED,
        420: GapState.OPEN,
    }
    now = datetime.now(UTC)
    soon, absent, repaired, used_up = GapRecord.objects.order_by("from_time")
    assert soon.next_attempt_at <= now and soon.attempts == 2
    for row in (absent, used_up):
        assert now - timedelta(minutes=1) < row.next_attempt_at < now + timedelta(days=1)
        assert row.attempts == 0
    assert repaired.next_attempt_at is None
    # The release before is still running, and writes rows of its own.
    insert(series, (540, "absent", 1), (660, "open", 0))
    assert {entry.from_time for entry in PostgresGapLedger().due(limit=10)} >= {60, 540, 660}


def test_way_back_keeps_gaps_in_words_of_the_release_before(migrate):
    Series.objects.create(name=str(MINUTE))
    reason = "the exchange refuses: " + "too old " * 30
    for number, state in enumerate((GapState.QUIET, GapState.UNSERVED, GapState.UNANSWERED)):
        time = 120 * number
        PostgresGapLedger().record(
            GapEntry(series=MINUTE, from_time=time, to_time=time, reason=reason, state=state)
        )
    migrate(BEFORE)
    with connection.cursor() as cursor:
        cursor.execute("SELECT state, reason FROM gaps ORDER BY from_time")
        rows = cursor.fetchall()
    assert [state for state, _ in rows] == ["absent", "absent", "open"]
    assert {text for _, text in rows} == {reason[:40]}
