"""Rows of candles and ledgers that are removed or packed while all goes on, by killed processes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

from factors.stores.dense_rows import FACTOR_TABLES
from lab.drills.answers import Answers, Comparing, attempt
from lab.drills.ground import Watch, drill
from lab.installation import Installation
from lab.program import Program, manage
from lab.waiting import WaitTimeout, wait_until
from overlays.stores.dense_rows import OVERLAY_TABLES
from trade_canvas.switches import PREFIX

HISTORY_S = 24_000
BACKFILL_S = 120.0
# A worker brings them up behind the backfill: at once, or if it was restarted, after a while.
LEDGERS_S = 240.0
# Levels of few pivots: with the usual ones they reach back some 25,000 candles, which all stay.
SHORT_LEVELS = {f"{PREFIX}PIVOT_WINDOW_MAJOR": "5", f"{PREFIX}SR_CLUSTER_PIVOT_LIMIT": "8"}
KEPT = "1s=1h"
KEPT_S = 3_600
REVISED = 10
STORED_S = 20.0
# Answers are compared at candles that no revision of the drill reaches.
BEHIND_S = 300
TIMES = 12
BEGUN_S = 90.0
STARTED_S = 20.0
VERIFIED = 5
TABLES = (
    *("candles", "factor_events", "factor_heads", "factor_checkpoints", "overlay_versions"),
    *("overlay_points", "overlay_checkpoints", "gaps"),
)
AT_THE_HEAD = """
SELECT head_time = (SELECT head_time FROM factor_state WHERE series_id = series.id)
    AND head_time = (SELECT head_time FROM overlay_state WHERE series_id = series.id)
FROM series WHERE name = %s
"""
CUT = "SELECT kept_from, removed_to FROM series WHERE name = %s"
ORPHANS = " UNION ALL ".join(
    f"SELECT '{table}', count(*) FROM {table} WHERE NOT EXISTS"
    " (SELECT 1 FROM series WHERE series.id = series_id)"
    for table in TABLES
)
ROWS = " UNION ALL ".join(
    f"SELECT '{table}', count(*) FROM {table} JOIN series ON series.id = series_id WHERE name = %s"
    for table in TABLES
)
# Rows behind a cut are needed by both ledgers or by none.
ORIGINS = """
SELECT (SELECT min(candle_time) FROM factor_checkpoints WHERE series_id = series.id),
    (SELECT min(candle_time) FROM overlay_checkpoints WHERE series_id = series.id)
FROM series WHERE name = %s
"""

PACK_KILLS = 3
MOVED = 1_000
"""Rows that a run has moved, at least, when it is killed; by then it has moved some more."""
DENSE_TABLES = (*FACTOR_TABLES, *OVERLAY_TABLES)
FORMS = {
    form: " + ".join(
        f"(SELECT count(*) FROM {table.name} WHERE {getattr(table, form)})"
        for table in DENSE_TABLES
    )
    for form in ("plain", "dense")
}


# Retention


@drill("retention", "old candles removed: kill -9 of worker and command in the midst, revised")
def retention(installation: Installation, watch: Watch) -> None:
    """What is answered about candles that stay must be the same bytes all the time."""
    series = installation.series[0]
    watch.revisions_expected = True
    settings = {f"{PREFIX}RETENTION": KEPT, **SHORT_LEVELS}
    with watch.fault():
        installation.run_as(SHORT_LEVELS)
        _backfill(installation, series, SHORT_LEVELS)
        installation.run_as(settings)
        cut = _reported(installation, watch, series, settings)
        urls = [web.url for web in installation.webs]
        answers = Answers(urls, series, _times(installation, series, cut))
        with Comparing(answers) as comparing:
            installation.run_as({**settings, f"{PREFIX}ENABLE_RETENTION": "1"})
            _revise(installation)
            worker = next(each for each in installation.workers if each.name == "worker")
            _kill_in_the_midst(installation, watch, series, worker)
            _expect_same(watch, answers, "after the worker was killed")
            _revise(installation)
            command = manage("retention", series, "--apply")
            removing = installation.start("retention", command, settings)
            _kill_in_the_midst(installation, watch, series, removing)
            _expect_same(watch, answers, "after the command was killed")
            worker.start().wait_ready()
            installation.manage("retention", series, "--apply", **settings)
        _check_removed(installation, watch, series, settings)
        _expect_same(watch, answers, "at the end")
        _check_compared(watch, answers, comparing)
        _expect_verified(installation, watch, series, settings)
        installation.run_as_made()


def _reported(
    installation: Installation, watch: Watch, series: str, settings: Mapping[str, str]
) -> int:
    """The time before which candles would go, by a report that removes nothing."""
    before = _rows(installation, series)
    text = installation.manage("retention", series, **settings)
    after = _rows(installation, series)
    kept = all(after[table] >= rows for table, rows in before.items())
    watch.expect(kept, f"a report removed rows: {before}, then {after}")
    found = re.search(r"before (\S+ \S+): ([\d,]+) candles", text)
    watch.expect(found, f"nothing is due: {text}")
    if found is None:
        return 0
    watch.note(f"{found[2]} candles were due")
    return int(datetime.fromisoformat(found[1]).replace(tzinfo=UTC).timestamp())


def _kill_in_the_midst(
    installation: Installation, watch: Watch, series: str, program: Program
) -> None:
    """Kill what removes rows once some of them are gone, and others are not."""
    before = _rows(installation, series)["factor_events"] + _rows(installation, series)["candles"]

    def is_amidst() -> bool:
        rows = _rows(installation, series)
        return rows["factor_events"] + rows["candles"] < before - 1_000

    with suppress(WaitTimeout):
        wait_until(is_amidst, BEGUN_S, "rows to be removed")
    program.kill()
    ((kept_from, removed_to),) = installation.sql(CUT, series)
    is_left = removed_to < kept_from
    watch.expect(is_left, f"{program.name} was done before it was killed")
    watch.note(f"{program.name} killed in the midst")


def _check_removed(
    installation: Installation, watch: Watch, series: str, settings: Mapping[str, str]
) -> None:
    """Nothing is left to a second run, no row is without its series, both ledgers begin alike."""
    ((kept_from, removed_to),) = installation.sql(CUT, series)
    watch.expect(kept_from == removed_to > 0, f"removed to {removed_to} of {kept_from}")
    first = installation.stored(series, 0, kept_from + 1)[:1]
    watch.expect([each["candle_time"] for each in first] == [kept_from], f"begins with {first}")
    text = installation.manage("retention", series, **settings)
    watch.expect("nothing to remove" in text, f"a second run would remove more: {text}")
    orphans = {table: count for table, count in installation.sql(ORPHANS) if count}
    watch.expect(not orphans, f"rows without a series: {orphans}")
    ((facts, drawn),) = installation.sql(ORIGINS, series)
    watch.expect(facts == drawn, f"facts begin at {facts}, drawings at {drawn}")


def _rows(installation: Installation, series: str) -> dict[str, int]:
    return dict(installation.sql(ROWS, *[series] * len(TABLES)))


# Packing


@drill("dense-ledger", "kill -9 of dense_ledger, packing and unpacking, while series are written")
def dense_ledger(installation: Installation, watch: Watch) -> None:
    """Answers must be the same bytes before, between and after; a killed run goes on later."""
    series = installation.series[1]
    watch.revisions_expected = True
    with watch.fault():
        _backfill(installation, series, {})
        head = installation.heads()[series]
        urls = [web.url for web in installation.webs]
        answers = Answers(urls, series, _times(installation, series, head - HISTORY_S))
        with Comparing(answers) as comparing:
            for form, options in (("dense", ()), ("plain", ("--undo",))):
                settings = {f"{PREFIX}ENABLE_DENSE_LEDGER": str(int(form == "dense"))}
                installation.run_as(settings)
                _move(installation, watch, answers, form, options, settings)
                _expect_same(watch, answers, f"after all rows are {form}")
                _expect_verified(installation, watch, series, settings)
        _check_compared(watch, answers, comparing)
        installation.run_as_made()


def _move(
    installation: Installation,
    watch: Watch,
    answers: Answers,
    form: str,
    options: Iterable[str],
    settings: Mapping[str, str],
) -> None:
    """Have all rows moved into a form, by runs that are killed and one that ends."""
    other = {"dense": "plain", "plain": "dense"}[form]
    arguments = ("dense_ledger", "--no-progress", *options)
    killed = []
    for _ in range(PACK_KILLS):
        before = _count(installation, other)
        moving = installation.start("dense_ledger", manage(*arguments), settings)
        moving.wait_until(
            lambda before=before: _count(installation, other) < before - MOVED,  # type: ignore[misc]
            STARTED_S,
            "moving rows",
        )
        moving.kill()
        killed.append(_count(installation, other))
        _revise(installation)
        _expect_same(watch, answers, f"while rows become {form}", share=0.3)
    watch.expect(killed[-1] > 0, f"all rows were {form} before the last kill")
    failure = attempt(lambda: installation.manage(*arguments, **settings), VERIFIED)
    watch.expect(not failure, f"dense_ledger did not end: {failure}")
    left = _count(installation, other)
    watch.expect(left == 0, f"{left} rows are still {other}")
    watch.note(f"to {form} rows: killed with {', '.join(f'{each:,}' for each in killed)} left")


def _count(installation: Installation, form: str) -> int:
    ((rows,),) = installation.sql(f"SELECT {FORMS[form]}")
    return int(rows)


# Both


def _backfill(installation: Installation, series: str, settings: Mapping[str, str]) -> None:
    """Have HISTORY_S of a series stored, with its facts and drawings. Raises LabFailed."""
    start = installation.heads()[series] - HISTORY_S
    command = manage("backfill", series, "--from", str(start))
    reading = installation.start("backfill", command, settings)
    if status := reading.wait(BACKFILL_S):
        raise reading.failure(f"ended with status {status}")
    wait_until(lambda: installation.sql(AT_THE_HEAD, series) == [(True,)], LEDGERS_S, "its ledgers")


def _times(installation: Installation, series: str, first: int) -> list[int]:
    """Times from the first kept candle to those that revisions do not reach, not evenly apart."""
    last = installation.heads()[series] - BEHIND_S
    return [first, first + 1, *(first + (last - first) * n // TIMES for n in range(1, TIMES + 1))]


def _revise(installation: Installation) -> None:
    """Have the exchange revise the newest candles of every series, and wait for the revision."""
    heads = installation.heads()
    installation.exchange.fault("revise", last=REVISED, factor=1.01, push=True)

    def is_stored() -> bool:
        return all(
            installation.stored(series, heads[series] - REVISED, heads[series])
            == installation.truth(series, heads[series] - REVISED, heads[series])
            for series in installation.series
        )

    wait_until(is_stored, STORED_S, "the revised candles to be stored")


def _expect_same(watch: Watch, answers: Answers, when: str, share: float = 1.0) -> None:
    differing = answers.differing(share)
    watch.wrong += len(differing)
    watch.expect(not differing, f"{when} other answers: {differing[:3]}")


def _check_compared(watch: Watch, answers: Answers, comparing: Comparing) -> None:
    watch.wrong += len(comparing.differing)
    watch.expect(not comparing.differing, f"meanwhile other answers: {comparing.differing[:3]}")
    watch.expect(not comparing.failure, comparing.failure)
    watch.note(f"{answers.compared:,} answers, all the same bytes as before")


def _expect_verified(
    installation: Installation, watch: Watch, series: str, settings: Mapping[str, str]
) -> None:
    verify = partial(installation.manage, "verify", series, **settings)
    failure = attempt(verify, VERIFIED)
    watch.expect(not failure, f"the ledgers differ: {failure}")
