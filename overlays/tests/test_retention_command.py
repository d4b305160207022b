"""The command and the task of retention, from the switches to the rows."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from market.ingest import dispatch
from market.runtime import candle_store
from overlays import runtime, tasks
from overlays.api.tests.drawn import SERIES, ingest
from overlays.tests.test_retention import walk

COUNTS = re.compile(r"([\d,]+) (candles|events|heads|versions|points|checkpoints)")


@pytest.fixture
def switched(transactional_db, settings):
    """A series of 4,700 minutes, of which 34 hours are kept."""
    settings.SWITCHES = replace(
        settings.SWITCHES,
        retention="1m=34h",
        enable_retention=True,
        overlay_window_candles=100,
        pivot_window_major=3,
        pivot_window_minor=1,
        sr_cluster_pivot_limit=8,
    )


def run(*arguments):
    out = io.StringIO()
    call_command(*arguments, stdout=out, stderr=out)
    return out.getvalue()


def counts(line):
    return {name: int(rows.replace(",", "")) for rows, name in COUNTS.findall(line)}


def test_report_removes_nothing_and_is_what_apply_removes(switched):
    ingest(walk(4_700))
    reported = run("retention")
    line = next(line for line in reported.splitlines() if line.startswith(SERIES))
    assert counts(line)["candles"] == 2_047 and re.search(r"about [\d,]{6,} bytes", line)
    assert "nothing was removed" in reported and "\n1m: 2,047 candles" in reported
    series = runtime.retention().series()[0]
    assert candle_store().first(series) == 60
    assert counts(run("retention", SERIES, "--apply")) == counts(line)
    assert candle_store().first(series) == 2_048 * 60
    assert "nothing to remove" in run("retention")
    verified = run("verify", SERIES, "--no-progress", "--integrity", "300")
    assert "2,653 candles" not in verified and "DIFFERENT" not in verified


def test_task_removes_a_bounded_part_each_time(switched, monkeypatch):
    ingest(walk(4_700))
    monkeypatch.setattr("overlays.retention.AT_ONCE", 500)
    work = replace(runtime.retention(), at_once=500)
    assert 500 <= tasks.remove_some(work, most=500) < 1_000
    with connection.cursor() as cursor:
        cursor.execute("SELECT kept_from, removed_to FROM series")
        assert cursor.fetchone() == (2_048 * 60, 0)
    tasks.retention()
    with connection.cursor() as cursor:
        cursor.execute("SELECT kept_from, removed_to FROM series")
        assert cursor.fetchone() == (2_048 * 60, 2_048 * 60)
    assert tasks.remove_some(work) == 0


def test_task_without_its_switch_does_nothing(switched, settings, monkeypatch):
    settings.SWITCHES = replace(settings.SWITCHES, enable_retention=False)
    monkeypatch.setattr(runtime, "retention", pytest.fail)
    tasks.retention()
    assert dispatch.QUEUE_OF[dispatch.RETENTION] == tasks.QUEUE
    assert tasks.retention.name == dispatch.RETENTION


def test_command_without_the_setting_is_refused(transactional_db):
    with pytest.raises(CommandError, match="TRADE_CANVAS_RETENTION"):
        run("retention", "--apply")


def test_history_that_is_not_kept_is_not_read_back(switched):
    with pytest.raises(CommandError, match="is kept from"):
        run("backfill", "binance:futures:BTC/USDT:1m", "--from", "2020-01-01", "--to", "2020-02-01")
