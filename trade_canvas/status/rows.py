"""The rows of the status page, with everything that is wrong marked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from market.domain.lease_store import BackfillProgress, Member
from market.domain.series import SeriesId
from market.ingest.breaker import BreakerState
from market.ingest.derived_standing import Standing, StandingState
from market.ingest.presence import BEAT, RECONCILE, WEB, WORKER
from market.ingest.progress import REPAIR, START_UP, TAIL
from market.installation.status import (
    BROKER,
    DATABASE,
    LEASE_STORE,
    PARTS,
    DerivedStatus,
    InstallationStatus,
    SeriesStatus,
)
from market.installation.words import NOTHING, as_time, cause_of, problem_of, state_of

PART_NAMES = {
    DATABASE: gettext_lazy("database"),
    LEASE_STORE: gettext_lazy("registry"),
    BROKER: gettext_lazy("broker"),
}
BREAKER_STATES = {
    BreakerState.CLOSED: pgettext_lazy("circuit breaker", "closed"),
    BreakerState.OPEN: pgettext_lazy("circuit breaker", "open"),
    BreakerState.HALF_OPEN: pgettext_lazy("circuit breaker", "half open"),
}

BACKFILL_KINDS = {
    TAIL: gettext_lazy("newest candles"),
    REPAIR: gettext_lazy("repair of a gap"),
    START_UP: gettext_lazy("start-up sync"),
}
BACKFILL_STATES = {
    "running": gettext_lazy("running"),
    "succeeded": pgettext_lazy("backfill", "done"),
    "failed": pgettext_lazy("backfill", "failed"),
}
STANDINGS: dict[StandingState, Any] = {
    "made": pgettext_lazy("derived series", "up to date"),
    "filling": pgettext_lazy("derived series", "history is being made"),
    "incomplete": pgettext_lazy("derived series", "base candles are missing"),
    "base_late": pgettext_lazy("derived series", "the base is late"),
    "behind": pgettext_lazy("derived series", "behind its base"),
    "not_made": pgettext_lazy("derived series", "not made yet"),
    "not_derived": pgettext_lazy("derived series", "not derived"),
}
STANDING_CAUSES = {
    "base_late": gettext_lazy("See the base among the followed series."),
    "behind": gettext_lazy("Deriving fails, or beat is down: see the log."),
    "not_derived": gettext_lazy(
        "The settings of the web process do not derive it, and other candles of it are refused: "
        "derive it, or run manage.py derived --release."
    ),
}
MOST_DERIVED = 500

BACKFILL_SHOWN_S = 600.0
"""Backfills that ended are shown so long."""

# Processes announce themselves every three seconds.
MISSING_AFTER_S = 15.0
ROUND_LATE_AFTER_S = 30.0
OLD_TASK_S = 60.0


@dataclass(frozen=True, slots=True)
class Cell:
    """A text, whether it is marked as a problem, what opens below it, and where it leads."""

    text: str
    is_bad: bool = False
    detail: str = ""
    link: str = ""


Row = list[Cell]
Heads = dict[SeriesId, int | None]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the page; `note` is shown below it, or instead of missing rows.

    The first columns, as many as `naming`, tell its rows apart.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: list[Row]
    note: str = ""
    naming: int = 1

    def named_rows(self) -> Iterator[tuple[str, Iterator[tuple[str, Cell]]]]:
        """The rows by their keys, with the column's title beside each cell for narrow screens."""
        for row in self.rows:
            key = " ".join([self.name, *(cell.text for cell in row[: self.naming])])
            yield key, zip(self.columns, row, strict=True)


def tables(
    known: InstallationStatus, stored: dict[SeriesId, int | None], *, has_workers: bool
) -> list[Table]:
    """The tables of the page; `stored` are the heads of series that need not be followed.

    Without `has_workers` the web process ingests by itself, so workers and beat are not expected.
    """
    return [
        _parts(known),
        _processes(known, has_workers=has_workers),
        _queues(known),
        _followed(known),
        _derived(known),
        _backfills(known),
        _stored(stored),
    ]


def _parts(known: InstallationStatus) -> Table:
    row = [
        Cell(_("unreachable"), True) if part in known.unreachable else Cell(_("answers"))
        for part in PARTS
    ]
    return Table("parts", _("Parts"), tuple(str(PART_NAMES[part]) for part in PARTS), [row])


def _processes(known: InstallationStatus, *, has_workers: bool) -> Table:
    rows = [_process(each, known.at) for each in known.members if each.kind != RECONCILE]
    for kind in (WEB, WORKER, BEAT) if has_workers else (WEB,):
        if not any(each.kind == kind for each in known.members):
            rows.append([Cell(kind), Cell(_("none"), True), *[Cell(NOTHING)] * 4])
    columns = (
        *(_("kind"), _("process"), _("started (UTC)")),
        *(_("seen"), _("watchers"), _("subscriptions")),
    )
    note = _round(known) if has_workers else ""
    return Table("processes", _("Processes"), columns, rows, note, naming=2)


def _process(each: Member, now: float) -> Row:
    silent = max(0.0, now - each.seen_at)
    is_web = each.kind == WEB
    return [
        Cell(each.kind),
        Cell(each.name),
        Cell(as_time(each.started_at)),
        Cell(_ago(silent), silent > MISSING_AFTER_S),
        Cell(str(each.watchers) if is_web else NOTHING),
        Cell(str(each.subscriptions) if is_web else NOTHING),
    ]


def _round(known: InstallationStatus) -> str:
    rounds = [each.seen_at for each in known.members if each.kind == RECONCILE]
    if not rounds:
        return _("No worker has run a round of reconcile yet.")
    silent = max(0.0, known.at - max(rounds))
    last = _("The last round of reconcile was %(ago)s.") % {"ago": _ago(silent)}
    if silent <= ROUND_LATE_AFTER_S:
        return last
    return f"{last} " + _("That is late: beat or the workers are down.")


def _queues(known: InstallationStatus) -> Table:
    rows = [
        [
            Cell(each.name),
            Cell(str(each.waiting)),
            Cell(_seconds(each.oldest_s), each.oldest_s > OLD_TASK_S),
        ]
        for each in known.queues
    ]
    taken = _("Workers have taken %(count)d tasks.") % {"count": known.taken}
    note = taken if rows else _("There is no broker.")
    return Table("queues", _("Queues"), (_("queue"), _("waiting"), _("oldest")), rows, note)


def _followed(known: InstallationStatus) -> Table:
    columns = (
        *(_("series"), _("newest candle (UTC)"), _("lag"), _("state"), _("followed by")),
        *(_("wanted by"), _("breaker"), _("failures"), _("open gaps"), _("problem")),
    )
    rows = [_series(each) for each in known.followed]
    return Table("followed", _("Followed series"), columns, rows, "" if rows else _("None."))


def _series(each: SeriesStatus) -> Row:
    report = each.report
    return [
        _chart(each.series),
        Cell(as_time(each.state.head)),
        _lag(each),
        Cell(state_of(report), report.is_halted) if report else Cell(_("not followed"), True),
        Cell((report.owner if report else None) or NOTHING),
        Cell(_wanted(each)),
        _breaker(each),
        Cell(str(report.crashes if report else 0)),
        Cell(str(each.open_gaps), each.open_gaps > 0),
        _problem(each),
    ]


def _chart(series: SeriesId) -> Cell:
    # Relative: the prefix of the page's own address holds.
    return Cell(str(series), link=f"../../?{urlencode({'series': str(series)})}")


def _lag(each: SeriesStatus) -> Cell:
    if each.lag_s is None:
        return Cell(_("empty"), True)
    return Cell(_seconds(each.lag_s) if each.lag_s else _("up to date"), each.late_s > 0)


def _wanted(each: SeriesStatus) -> str:
    lease = each.desired.lease
    by = [_("whitelist")] if each.desired.is_pinned else []
    if lease is not None:
        webs = _("%(count)d web") % {"count": lease.leases}
        by.append(webs if lease.leases else _("idle"))
    return ", ".join(by)


def _breaker(each: SeriesStatus) -> Cell:
    if each.breaker is None:
        return Cell(NOTHING)
    known = {state.value: str(name) for state, name in BREAKER_STATES.items()}
    return Cell(known.get(each.breaker, each.breaker), each.is_breaker_open)


def _problem(each: SeriesStatus) -> Cell:
    problem = problem_of(each.report, each.at, late_s=each.late_s)
    return Cell(NOTHING) if problem is None else Cell(problem.text, detail=problem.detail)


def _derived(known: InstallationStatus) -> Table:
    columns = (
        *(_("series"), _("newest candle (UTC)"), _("base"), _("made to (UTC)"), _("state")),
        *(_("wanted by"), _("problem")),
    )
    rows = [_derived_series(each) for each in known.derived[:MOST_DERIVED]]
    hidden = len(known.derived) - len(rows)
    note = "" if rows else _("None is wanted, and none is in trouble.")
    if hidden:
        note = _("%(count)d more are not shown.") % {"count": hidden}
    return Table("derived", _("Derived series"), columns, rows, note)


def _derived_series(each: DerivedStatus) -> Row:
    standing = each.standing
    wanted = [_("whitelist")] if each.is_pinned else []
    if each.is_watched:
        wanted.append(_("watchers"))
    return [
        _chart(each.series),
        Cell(as_time(each.head)),
        Cell(str(standing.base or NOTHING)),
        Cell(as_time(standing.made_to)),
        Cell(str(STANDINGS[standing.state]), standing.is_bad),
        Cell(", ".join(wanted) or NOTHING),
        _lacking(standing),
    ]


def _lacking(standing: Standing) -> Cell:
    """Why a derived series has no newer candle."""
    bucket = standing.incomplete
    if standing.state == "incomplete" and bucket is not None:
        lacks = _("%(found)d of %(expected)d base candles at %(time)s.")
        found = {"found": bucket.found, "expected": bucket.expected}
        return Cell(lacks % {**found, "time": as_time(bucket.candle_time)})
    return Cell(str(STANDING_CAUSES.get(standing.state, NOTHING)))


def _backfills(known: InstallationStatus) -> Table:
    columns = (
        *(_("series"), _("backfill"), _("state"), _("progress")),
        *(_("started (UTC)"), _("updated (UTC)"), _("problem")),
    )
    rows = [
        _backfill(series, progress)
        for series, progress in sorted(known.backfills.items(), key=lambda each: str(each[0]))
        if _is_shown(progress, known.at)
    ]
    note = "" if rows else _("None runs, none has failed lately.")
    return Table("backfills", _("Backfills"), columns, rows, note)


def _is_shown(progress: BackfillProgress, now: float) -> bool:
    """Whether a backfill runs, or ended lately."""
    if progress.state == "idle":
        return False
    return progress.state == "running" or now - (progress.updated_at or 0) < BACKFILL_SHOWN_S


def _backfill(series: SeriesId, progress: BackfillProgress) -> Row:
    has_failed = progress.state == "failed"
    kind, state = progress.reason or "", progress.state
    # Its note ends with the candles so far: "gap_repair_running: 3000 of 5000 candles".
    counted = re.search(r": (\d+) of (\d+) candles", progress.note or "")
    read = {"read": counted[1], "wanted": counted[2]} if counted else None
    return [
        _chart(series),
        Cell(str(BACKFILL_KINDS.get(kind, kind))),
        Cell(str(BACKFILL_STATES.get(state, state)), has_failed),
        Cell(_("%(read)s of %(wanted)s candles") % read if read else NOTHING),
        Cell(as_time(progress.started_at)),
        Cell(as_time(progress.updated_at)),
        _trouble(progress),
    ]


def _trouble(progress: BackfillProgress) -> Cell:
    """Why a backfill failed, or why it has not brought all candles."""
    if progress.error is None:
        return Cell(NOTHING)
    if progress.state == "failed":
        return Cell(cause_of(progress.error), detail=progress.error)
    return Cell(progress.error)


def _stored(stored: Heads) -> Table:
    rows = [[_chart(series), Cell(as_time(head))] for series, head in stored.items()]
    columns = (_("series"), _("newest candle (UTC)"))
    return Table("stored", _("Other stored series"), columns, rows, "" if rows else _("None."))


def _seconds(seconds: float) -> str:
    return _("%(seconds)s s") % {"seconds": f"{seconds:,.0f}"}


def _ago(seconds: float) -> str:
    return _("%(seconds)s s ago") % {"seconds": f"{seconds:.0f}"}
