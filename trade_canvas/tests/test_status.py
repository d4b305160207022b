"""The status page of the admin."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from django.db import connection

from market.domain.derived import Incomplete
from market.domain.lease_store import Admission, BackfillProgress, JobReport, Member
from market.domain.series import SeriesId
from market.domain.store import SeriesState
from market.domain.timeframe import Timeframe
from market.ingest.derived_standing import Standing
from market.ingest.desired import Desired
from market.ingest.lease_store_memory import MemoryLeaseStore
from market.ingest.progress import REPAIR, START_UP, TAIL
from market.ingest.queues import QueueStanding
from market.installation.status import (
    DerivedStatus,
    InstallationStatus,
    SeriesStatus,
    read_status,
)
from market.models import Series, WhitelistedSeries
from trade_canvas.status.rows import tables

PAGE = "/admin/status/"
BTC = SeriesId.parse("sim:spot:BTC/USDT:1m")
NOW = 1_600_000_200.0
HEAD = 1_600_000_140


def followed(**changes):
    desired = Desired(BTC, True, None)
    report = JobReport(state="running", started_at=NOW - 9, owner="host:1", guardrail=None)
    known = SeriesStatus(
        desired=desired, state=SeriesState(HEAD, 0), report=report, open_gaps=0, at=NOW
    )
    return replace(known, **changes)


def installation(**changes):
    members = [
        Member(kind=kind, name=f"{kind}:1", started_at=NOW - 60, seen_at=NOW - 1, watchers=7)
        for kind in ("beat", "web", "worker", "reconcile")
    ]
    known = InstallationStatus(
        at=NOW,
        followed=(followed(),),
        members=tuple(members),
        queues=(QueueStanding("control", 1, 0.0),),
        taken=1,
        unreachable=frozenset(),
    )
    return replace(known, **changes)


def bad(known):
    """The cells that the page marks."""
    shown = tables(known, {}, has_workers=True)
    return [cell.text for table in shown for row in table.rows for cell in row if cell.is_bad]


def test_healthy_installation_has_nothing_marked():
    assert bad(installation()) == []


@pytest.mark.parametrize(
    ("changes", "marked"),
    [
        ({"state": SeriesState(HEAD - 600, 0)}, "600 s"),
        ({"state": SeriesState(None, 0)}, "empty"),
        ({"report": None}, "not followed"),
        ({"open_gaps": 3}, "3"),
        (
            {"report": JobReport(state="running", started_at=1, is_halted=True)},
            "halted or delisted",
        ),
        (
            {"report": JobReport(state="open_breaker", started_at=1, guardrail={"state": "open"})},
            "open",
        ),
    ],
)
def test_problem_of_a_series_is_marked(changes, marked):
    assert bad(installation(followed=(followed(**changes),))) == [marked]


@pytest.mark.parametrize(
    ("progress", "shown", "marked"),
    [
        (
            BackfillProgress(
                state="running",
                started_at=int(NOW) - 9,
                updated_at=int(NOW) - 1,
                reason=REPAIR,
                note="gap_repair_running: 3000 of 5000 candles",
            ),
            ["repair of a gap", "running", "3000 of 5000 candles"],
            [],
        ),
        (
            BackfillProgress(
                state="succeeded",
                updated_at=int(NOW) - 60,
                reason=TAIL,
                note="tail_coverage_partial",
                error="at most 720 candles",
            ),
            ["newest candles", "done", "–", "–", "2020-09-13 12:29:00", "at most 720 candles"],
            [],
        ),
        (
            BackfillProgress(
                state="failed", updated_at=int(NOW) - 60, reason=START_UP, error="Timed out"
            ),
            ["start-up sync", "failed"],
            ["failed"],
        ),
        (BackfillProgress(state="succeeded", updated_at=int(NOW) - 3600, reason=TAIL), [], []),
        (BackfillProgress(), [], []),
    ],
)
def test_backfills_are_shown_while_they_run_and_some_time_after(progress, shown, marked):
    known = installation(backfills={BTC: progress})
    table = next(each for each in tables(known, {}, has_workers=True) if each.name == "backfills")
    cells = [cell.text for row in table.rows for cell in row]
    assert cells[:1] == ([str(BTC)] if shown else [])
    wanted = set(shown)
    assert wanted <= set(cells)
    assert bool(table.note) is not bool(shown)
    assert bad(known) == marked


FIVE = SeriesId.parse("sim:spot:BTC/USDT:5m")


@pytest.mark.parametrize(
    ("standing", "shown", "marked"),
    [
        (Standing(state="made", base=BTC, made_to=HEAD), "up to date", []),
        (
            Standing(state="not_derived", made_to=HEAD),
            "manage.py derived --release",
            ["not derived"],
        ),
        (Standing(state="behind", base=BTC), "see the log", ["behind its base"]),
        (
            Standing(state="incomplete", base=BTC, incomplete=Incomplete(HEAD, 4, 5)),
            "4 of 5 base candles at 2020-09-13 12:29:00.",
            [],
        ),
    ],
)
def test_derived_series_is_shown_with_how_it_stands(standing, shown, marked):
    each = DerivedStatus(series=FIVE, head=HEAD, standing=standing, is_pinned=True, is_watched=True)
    known = installation(derived=(each,))
    (table,) = [each for each in tables(known, {}, has_workers=True) if each.name == "derived"]
    text = " | ".join(cell.text for row in table.rows for cell in row)
    assert shown in text and "whitelist, watchers" in text and str(FIVE) in text
    assert bad(known) == marked


def test_derived_series_in_trouble_are_not_cut_off():
    standing = Standing(state="behind", base=BTC)
    each = DerivedStatus(
        series=FIVE, head=None, standing=standing, is_pinned=False, is_watched=False
    )
    known = installation(derived=(each,) * 502)
    (table,) = [each for each in tables(known, {}, has_workers=True) if each.name == "derived"]
    assert (len(table.rows), table.note) == (500, "2 more are not shown.")


def test_missing_processes_and_late_rounds_are_marked():
    late = Member(kind="worker", name="w", started_at=0, seen_at=NOW - 40)
    known = installation(members=(late,), unreachable=frozenset({"broker"}))
    assert bad(known) == ["unreachable", "40 s ago", "none", "none"]
    old_round = replace(late, kind="reconcile")
    (note,) = [
        table.note
        for table in tables(installation(members=(old_round,)), {}, has_workers=True)
        if table.name == "processes"
    ]
    assert "late" in note


@pytest.fixture
def known_store(monkeypatch, settings):
    """A lease store of this test, with a lease and a report; on-demand and whitelist are on."""
    known = MemoryLeaseStore()
    monkeypatch.setattr("market.installation.status.lease_store", lambda: known)
    settings.SWITCHES = replace(
        settings.SWITCHES, enable_whitelist_ingest=True, enable_ondemand_ingest=True
    )
    return known


@pytest.mark.django_db(transaction=True)
def test_page_shows_every_series_with_who_follows_it(admin_client, known_store):
    other = "sim:spot:ETH/USDT:1m"
    WhitelistedSeries.objects.create(series_id=str(BTC))
    Series.objects.create(name=str(BTC), head_time=HEAD)
    Series.objects.create(name=other, head_time=60)
    known_store.lease(BTC, "web-1", ttl=30, admission=Admission(idle_ttl=30))
    report = JobReport(state="waiting", started_at=1, owner="host:77", last_error="<b>refused")
    known_store.report({BTC: report}, ttl=30)
    known_store.announce(
        Member(kind="web", name="host:1", started_at=1, seen_at=time.time(), watchers=12), ttl=30
    )
    answer = admin_client.get(PAGE)
    text = answer.content.decode()
    assert answer.status_code == 200
    for shown in (str(BTC), other, "host:77", "whitelist, 1 web", "&lt;b&gt;refused", "12"):
        assert shown in text
    part = admin_client.get(PAGE, {"part": "tables"}).content.decode()
    assert str(BTC) in part and "<html" not in part


@pytest.mark.django_db(transaction=True)
def test_page_shows_derived_series_that_are_asked_for_or_stop(admin_client, known_store, settings):
    settings.SWITCHES = replace(
        settings.SWITCHES, enable_derived_timeframes=True, derived_timeframes="5m,15m,1h"
    )
    fifteen, hour, day = (
        FIVE.with_timeframe(Timeframe.parse(each)) for each in ("15m", "1h", "1d")
    )
    WhitelistedSeries.objects.create(series_id=str(fifteen))
    known_store.watch([FIVE], ttl=30)
    with connection.cursor() as cursor:
        for series in (hour, day):
            cursor.execute(
                "INSERT INTO derived_series (name, since, base_head, base_epoch, is_held)"
                " VALUES (%s, 0, 60, 0, true)",
                [str(series)],
            )
    found = {each.series: each for each in read_status().derived}
    states = {series: each.standing.state for series, each in found.items()}
    assert states == {day: "not_derived", FIVE: "not_made", fifteen: "not_made"}
    assert next(iter(found)) == day
    assert (found[FIVE].is_watched, found[FIVE].is_pinned) == (True, False)
    assert (found[fifteen].is_watched, found[fifteen].is_pinned) == (False, True)
    text = admin_client.get(PAGE).content.decode()
    assert str(day) in text and "not derived" in text


@pytest.mark.django_db(transaction=True)
def test_page_has_no_inline_script_or_style(admin_client, known_store):
    text = admin_client.get(PAGE).content.decode()
    main = text[text.index("</head>") :]
    assert 'src="status.js"' in text and 'http-equiv="refresh"' in text
    assert " style=" not in main and "onclick" not in text
    assert admin_client.get(f"{PAGE}status.js")["Content-Type"].startswith("text/javascript")
    assert admin_client.get(f"{PAGE}status.css").status_code == 200
    assert admin_client.get(f"{PAGE}views.py").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_page_requires_an_admin(client, django_user_model):
    client.force_login(django_user_model.objects.create_user("somebody"))
    for path in (PAGE, f"{PAGE}status.js"):
        answer = client.get(path)
        assert answer.status_code == 302 and "/admin/login/" in answer["Location"]


@pytest.mark.django_db(transaction=True)
def test_admin_links_to_the_page(admin_client):
    assert 'href="/admin/status/"' in admin_client.get("/admin/").content.decode()
