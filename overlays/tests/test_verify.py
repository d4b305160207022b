"""Verification: clean ledgers pass, and the first difference is named."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from factors.engines import Engines
from factors.tests.ledgers import new_series
from overlays.api.tests.drawn import SERIES, ingest, walk
from overlays.tests.ledgers import FACTORS, OVERLAYS, Worker, postgres_stores
from overlays.verify import Comparison, Verifier

DAMAGES = [
    ("DELETE FROM factor_events WHERE kind = 'pen.confirmed'", {"events"}),
    ("UPDATE factor_heads SET head = '{}' WHERE factor_name = 'pen'", {"heads"}),
    ("UPDATE overlay_state SET epoch = 7", {"positions"}),
    ("UPDATE factor_state SET fingerprint = 'other'", {"positions"}),
    ("DELETE FROM overlay_versions WHERE instruction_id LIKE 'pivot.%'", {"versions", "current"}),
    (
        "UPDATE overlay_versions SET definition = replace(definition, 'dashed', 'dotted')",
        {"versions"},
    ),
    (
        "UPDATE overlay_versions SET until = visible_time WHERE instruction_id = 'pen.confirmed'",
        {"current"},
    ),
]


def revise(stores, series):
    candles = walk(120)
    worker = Worker(stores)
    worker.ingest(series, candles)
    worker.ingest(series, [candles[60]._replace(high=candles[60].high + 3)])


def test_ledgers_after_a_revision_are_clean(stores):
    series = new_series()
    revise(stores, series)
    verdict = stores.verdict(series)
    assert verdict.is_clean and verdict.candles == 120
    found = {each.name: each.found for each in verdict.comparisons}
    assert found["positions"] == 2 and found["events"] > 50 and found["versions"] > 100


def verified(stores, series, meanwhile):
    """A verification; `meanwhile` is done after its first look at the candles and at each page."""
    looks = []

    class Candles:
        def __getattr__(self, name):
            return getattr(stores.candles, name)

        def state(self, series):
            state = stores.candles.state(series)
            looks.append(state)
            if len(looks) == 1:
                meanwhile()
            return state

    verifier = Verifier(
        candles=Candles(),
        engines=Engines(FACTORS),
        facts=stores.facts,
        overlay_engine=OVERLAYS,
        drawings=stores.drawings,
        fingerprint_of=lambda _: "f",
    )
    return verifier.run(series, progress=lambda _: meanwhile())


def test_series_to_which_candles_are_added_meanwhile_is_clean(stores):
    series, worker = new_series(), Worker(stores)
    candles = walk(150)
    worker.ingest(series, candles[:140])
    new = iter(candles[140:])
    verdict = verified(stores, series, lambda: worker.ingest(series, [next(new)]))
    assert [each.name for each in verdict.comparisons if not each.is_clean] == []
    assert verdict.candles == 141 and stores.candles.state(series).head == candles[141].candle_time


def test_drawing_of_no_candle_is_named_beside_candles_that_are_added(transactional_db):
    stores, series = postgres_stores(), new_series()
    candles = walk(130)
    Worker(stores).ingest(series, candles[:120])
    late = candles[125].candle_time
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE overlay_versions SET visible_time = %s WHERE version_id = (SELECT"
            " max(version_id) FROM overlay_versions WHERE kind <> 'point')",
            [late],
        )
    verdict = verified(stores, series, lambda: None)
    assert "versions" in {each.name for each in verdict.comparisons if not each.is_clean}


def test_series_without_candles_is_clean(stores):
    verdict = stores.verdict(new_series())
    assert verdict.is_clean and verdict.head_time is None


@pytest.mark.parametrize(("damage", "names"), DAMAGES)
def test_damage_is_named(transactional_db, damage, names):
    stores, series = postgres_stores(), new_series()
    revise(stores, series)
    with connection.cursor() as cursor:
        cursor.execute(damage)
        assert cursor.rowcount
    verdict = stores.verdict(series)
    assert {each.name for each in verdict.comparisons if not each.is_clean} == names
    assert not verdict.is_clean


def test_comparison_shows_the_first_difference():
    rows = Comparison("rows")
    rows.add([1, 2, 3], [1, 4, 3, 5])
    rows.add([6], [])
    assert rows.first_difference == ("2", "4")
    assert (rows.expected, rows.found) == (4, 4)
    assert rows.checksums[0] != rows.checksums[1]


def run(*arguments):
    out = io.StringIO()
    call_command("verify", SERIES, "--no-progress", *arguments, stdout=out)
    return out.getvalue()


def test_command_reports_what_it_compared(transactional_db):
    ingest(walk(140))
    output = run("--integrity", "20")
    assert f"{SERIES}: 140 candles up to 1970-01-01 02:20:00" in output
    assert output.count("the same") == 6 and "DIFFERENT" not in output
    assert "7 windows of 2,000 candles" in output


def test_command_fails_on_a_difference(transactional_db):
    ingest(walk(140))
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM factor_events WHERE kind = 'pivot.minor'")
    with pytest.raises(CommandError) as failed:
        run()
    assert failed.value.returncode == 1


def test_command_fails_when_drawings_differ_from_factors(transactional_db):
    ingest(walk(140))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE overlay_state SET head_time = 60")
    with pytest.raises(CommandError):
        run("--integrity")
