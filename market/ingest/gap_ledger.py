"""The gap ledger: every hole in a series is recorded, in memory or in PostgreSQL.

A hole is open when it is noticed, repairing during each attempt (with growing pauses between them),
and ends as filled or absent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from typing_extensions import override

from market.domain.series import SeriesId
from market.ingest.gap_ranges import UNSETTLED, GapEntry, GapState, Range, changed, noticed
from market.models import GapRecord, Series
from market.singletons import once

MAX_ATTEMPTS = 5
FIRST_PAUSE_S = 30.0
# A repair that takes longer than this has died with its worker.
REPAIR_TIMEOUT_S = 900.0
# Settled entries kept for each series; a dropped one would only be noticed again.
KEPT_SETTLED = 10_000


class GapLedger(Protocol):
    """Noticed holes of every series; both implementations pass one contract test."""

    def record(self, entry: GapEntry) -> None:
        """Record a hole; it is merged with entries of the same and of adjacent times."""

    def set_state(
        self, series: SeriesId, span: Range, *, state: GapState, was: GapState | None = None
    ) -> None:
        """Change the state of every entry within `span` (both ends inclusive)."""

    def entries(
        self, series: SeriesId | None = None, *, states: Iterable[GapState] = tuple(GapState)
    ) -> list[GapEntry]:
        """The entries, ascending by series and time."""

    def due(self, *, limit: int) -> list[GapEntry]:
        """Open holes whose next repair is due, and repairs that died; the oldest first."""

    def begin_repair(self, entry: GapEntry) -> bool:
        """Mark a due hole as repairing; False when it was changed meanwhile."""


def pause_after(attempts: int) -> float:
    """Seconds between so many failed repairs and the next one."""
    return FIRST_PAUSE_S * 2**attempts / 2 if attempts else 0.0


def is_due(entry: GapEntry, now: float) -> bool:
    """Whether a repair of the hole should begin now."""
    if entry.state is GapState.REPAIRING:
        return now - entry.updated_at >= REPAIR_TIMEOUT_S
    due = now - entry.updated_at >= pause_after(entry.attempts)
    return entry.state is GapState.OPEN and entry.attempts < MAX_ATTEMPTS and due


class MemoryGapLedger(GapLedger):
    """For a process without a database; `clock` returns Unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[SeriesId, list[GapEntry]] = {}

    @override
    def record(self, entry: GapEntry) -> None:
        with self._lock:
            new = replace(entry, updated_at=self._clock())
            known = noticed(self._entries.get(entry.series, []), new)
            settled = sum(each.state not in UNSETTLED for each in known)
            for each in [e for e in known if e.state not in UNSETTLED][: settled - KEPT_SETTLED]:
                known.remove(each)
            self._entries[entry.series] = known

    @override
    def set_state(
        self, series: SeriesId, span: Range, *, state: GapState, was: GapState | None = None
    ) -> None:
        with self._lock:
            known = self._entries.get(series, [])
            now = self._clock()
            self._entries[series] = changed(known, span, state=state, was=was, now=now)

    @override
    def entries(
        self, series: SeriesId | None = None, *, states: Iterable[GapState] = tuple(GapState)
    ) -> list[GapEntry]:
        wanted = set(states)
        with self._lock:
            names = sorted(self._entries, key=str) if series is None else [series]
            return [e for n in names for e in self._entries.get(n, []) if e.state in wanted]

    @override
    def due(self, *, limit: int) -> list[GapEntry]:
        now = self._clock()
        waiting = [e for e in self.entries(states=UNSETTLED) if is_due(e, now)]
        return sorted(waiting, key=lambda entry: entry.updated_at)[:limit]

    @override
    def begin_repair(self, entry: GapEntry) -> bool:
        with self._lock:
            known = self._entries.get(entry.series, [])
            if entry not in known:
                return False
            known[known.index(entry)] = _begun(entry, self._clock())
            return True


class PostgresGapLedger(GapLedger):
    """Rows of the `gaps` table."""

    @override
    def record(self, entry: GapEntry) -> None:
        step = entry.series.timeframe.seconds
        new = replace(entry, updated_at=time.time())
        span = (entry.from_time - step, entry.to_time + step)
        self._rewrite(entry.series, span, lambda known: noticed(known, new))
        settled = GapRecord.objects.filter(series__name=str(entry.series)).exclude(
            state__in=UNSETTLED
        )
        old = settled.order_by("-from_time").values_list("pk", flat=True)[KEPT_SETTLED:]
        GapRecord.objects.filter(pk__in=list(old)).delete()

    @override
    def set_state(
        self, series: SeriesId, span: Range, *, state: GapState, was: GapState | None = None
    ) -> None:
        step = series.timeframe.seconds
        near = (span[0] - step, span[1] + step)
        now = time.time()
        self._rewrite(series, near, lambda e: changed(e, span, state=state, was=was, now=now))

    def _rewrite(
        self, series: SeriesId, near: Range, change: Callable[[list[GapEntry]], list[GapEntry]]
    ) -> None:
        """Replace the rows that touch a range by the result of `change`."""
        with transaction.atomic():
            with connection.cursor() as cursor:
                lock = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
                cursor.execute(lock, [f"gaps of {series}"])
            key = Series.objects.filter(name=str(series)).first()
            if key is None:
                # A gap lies between stored candles, and this series has none.
                return
            touched = GapRecord.objects.filter(
                series=key, from_time__lte=near[1], to_time__gte=near[0]
            )
            before = [_entry(row) for row in touched.select_related("series").order_by("from_time")]
            after = change(before)
            gone = [each.from_time for each in before if each not in after]
            touched.filter(from_time__in=gone).delete()
            GapRecord.objects.bulk_create(_row(key, each) for each in after if each not in before)

    @override
    def entries(
        self, series: SeriesId | None = None, *, states: Iterable[GapState] = tuple(GapState)
    ) -> list[GapEntry]:
        rows = GapRecord.objects.filter(state__in=[state.value for state in states])
        if series is not None:
            rows = rows.filter(series__name=str(series))
        found = [_entry(row) for row in rows.select_related("series").order_by("from_time")]
        return sorted(found, key=lambda entry: (str(entry.series), entry.from_time))

    @override
    def due(self, *, limit: int) -> list[GapEntry]:
        now = datetime.now(UTC)
        died = now - timedelta(seconds=REPAIR_TIMEOUT_S)
        waiting = Q(state=GapState.REPAIRING, updated_at__lte=died)
        for attempts in range(MAX_ATTEMPTS):
            since = now - timedelta(seconds=pause_after(attempts))
            waiting |= Q(state=GapState.OPEN, attempts=attempts, updated_at__lte=since)
        rows = GapRecord.objects.filter(waiting).select_related("series")
        return [_entry(row) for row in rows.order_by("updated_at")[:limit]]

    @override
    def begin_repair(self, entry: GapEntry) -> bool:
        begun = _begun(entry, time.time())
        rows: QuerySet[GapRecord] = GapRecord.objects.filter(
            series__name=str(entry.series),
            from_time=entry.from_time,
            to_time=entry.to_time,
            state=entry.state.value,
            attempts=entry.attempts,
        )
        return bool(
            rows.update(
                state=begun.state.value, attempts=begun.attempts, updated_at=datetime.now(UTC)
            )
        )


def _begun(entry: GapEntry, now: float) -> GapEntry:
    return replace(entry, state=GapState.REPAIRING, attempts=entry.attempts + 1, updated_at=now)


def _entry(row: GapRecord) -> GapEntry:
    return GapEntry(
        series=SeriesId.parse(row.series.name),
        from_time=row.from_time,
        to_time=row.to_time,
        reason=row.reason,
        state=GapState(row.state),
        attempts=row.attempts,
        updated_at=row.updated_at.timestamp(),
    )


def _row(key: Series, entry: GapEntry) -> GapRecord:
    return GapRecord(
        series=key,
        from_time=entry.from_time,
        to_time=entry.to_time,
        reason=entry.reason[:40],
        state=entry.state.value,
        attempts=entry.attempts,
    )


@once
def ledger() -> GapLedger:
    """The ledger of this process: PostgreSQL with its switch on, memory otherwise."""
    return PostgresGapLedger() if settings.SWITCHES.enable_pg_store else MemoryGapLedger()


def open_gaps(series: SeriesId | None = None) -> list[GapEntry]:
    """Every hole that is neither filled nor known to be absent. Blocking."""
    return ledger().entries(series, states=UNSETTLED)
