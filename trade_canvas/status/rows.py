"""The rows of the status page, with everything that is wrong marked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from market.domain.lease_store import Member
from market.domain.series import SeriesId
from market.ingest.presence import BEAT, RECONCILE, WEB, WORKER
from market.installation.status import PARTS, InstallationStatus, SeriesStatus

NOTHING = "–"

# Processes announce themselves every three seconds.
MISSING_AFTER_S = 15.0
ROUND_LATE_AFTER_S = 30.0
OLD_TASK_S = 60.0
LAG_TIMEFRAMES = 2
LAG_SLACK_S = 60.0


@dataclass(frozen=True, slots=True)
class Cell:
    """A text, and whether it is marked as a problem."""

    text: str
    is_bad: bool = False


Row = list[Cell]
Heads = dict[SeriesId, int | None]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the page; `note` is shown below it, or instead of missing rows."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: list[Row]
    note: str = ""


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
        _stored(stored),
    ]


def _parts(known: InstallationStatus) -> Table:
    row = [
        Cell("unreachable", True) if part in known.unreachable else Cell("answers")
        for part in PARTS
    ]
    return Table("parts", "Parts", PARTS, [row])


def _processes(known: InstallationStatus, *, has_workers: bool) -> Table:
    rows = [_process(each, known.at) for each in known.members if each.kind != RECONCILE]
    for kind in (WEB, WORKER, BEAT) if has_workers else (WEB,):
        if not any(each.kind == kind for each in known.members):
            rows.append([Cell(kind), Cell("none", True), *[Cell(NOTHING)] * 4])
    columns = ("kind", "process", "started (UTC)", "seen", "watchers", "subscriptions")
    return Table("processes", "Processes", columns, rows, _round(known) if has_workers else "")


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
        return "No worker has run a round of reconcile yet."
    silent = max(0.0, known.at - max(rounds))
    late = " That is late: beat or the workers are down." if silent > ROUND_LATE_AFTER_S else ""
    return f"The last round of reconcile was {_ago(silent)}.{late}"


def _queues(known: InstallationStatus) -> Table:
    rows = [
        [
            Cell(each.name),
            Cell(str(each.waiting)),
            Cell(f"{each.oldest_s:.0f} s", each.oldest_s > OLD_TASK_S),
        ]
        for each in known.queues
    ]
    note = f"Workers have taken {known.taken} tasks." if rows else "There is no broker."
    return Table("queues", "Queues", ("queue", "waiting", "oldest"), rows, note)


def _followed(known: InstallationStatus) -> Table:
    columns = (
        *("series", "newest candle (UTC)", "lag", "state", "followed by", "wanted by"),
        *("breaker", "failures", "open gaps", "last error"),
    )
    rows = [_series(each) for each in known.followed]
    return Table("followed", "Followed series", columns, rows, "" if rows else "None.")


def _series(each: SeriesStatus) -> Row:
    report = each.report
    return [
        Cell(str(each.series)),
        Cell(as_time(each.state.head)),
        _lag(each),
        Cell(report.state.replace("_", " ")) if report else Cell("not followed", True),
        Cell((report.owner if report else None) or NOTHING),
        Cell(_wanted(each)),
        Cell(each.breaker or NOTHING, each.is_breaker_open),
        Cell(str(report.crashes if report else 0)),
        Cell(str(each.open_gaps), each.open_gaps > 0),
        Cell((report.last_error if report else None) or NOTHING),
    ]


def _lag(each: SeriesStatus) -> Cell:
    if each.lag_s is None:
        return Cell("empty", True)
    most = LAG_TIMEFRAMES * each.series.timeframe.seconds + LAG_SLACK_S
    return Cell("up to date" if not each.lag_s else f"{each.lag_s:,.0f} s", each.lag_s > most)


def _wanted(each: SeriesStatus) -> str:
    lease = each.desired.lease
    by = ["whitelist"] if each.desired.is_pinned else []
    if lease is not None:
        by.append(f"{lease.leases} web" if lease.leases else "idle")
    return ", ".join(by)


def _stored(stored: Heads) -> Table:
    rows = [[Cell(str(series)), Cell(as_time(head))] for series, head in stored.items()]
    note = "" if rows else "None."
    return Table("stored", "Other stored series", ("series", "newest candle (UTC)"), rows, note)


def as_time(unix_seconds: float | None) -> str:
    """A time in UTC, as shown on the page."""
    if unix_seconds is None:
        return NOTHING
    return f"{datetime.fromtimestamp(unix_seconds, UTC):%Y-%m-%d %H:%M:%S}"


def _ago(seconds: float) -> str:
    return f"{seconds:.0f} s ago"
