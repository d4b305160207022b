"""The gap ledger: every hole in a series is recorded, in memory or in PostgreSQL.

A hole is open when it is noticed, and repairing during each attempt. Only an answer of the exchange
ends it: as repaired, as quiet, or as unserved. What was not answered, or was dropped by our check,
is requested again, hours apart and at most MAX_ATTEMPTS times.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, Q
from typing_extensions import override

from market.domain.series import SeriesId
from market.ingest.gap_ranges import (
    REPAIR_TIMEOUT_S,
    SETTLED,
    UNSETTLED,
    GapEntry,
    GapState,
    Range,
    changed,
    is_due,
    noticed,
)
from market.ingest.gap_rows import columns_of, entry_of, in_states, moment_of, row_of
from market.models import GapRecord, Series
from market.singletons import once

# Entries kept for each series, of those that are requested again and of the others. The oldest are
# dropped: they would only be noticed again.
KEPT = 10_000
# New rows of a series after which the oldest are dropped.
TRIMMED_AFTER = 100
_KINDS = (UNSETTLED, SETTLED)
_ANY = tuple(GapState)


class GapLedger(Protocol):
    """Noticed holes of every series; both implementations pass one contract test. Blocking."""

    def record(self, *entries: GapEntry) -> None:
        """Record holes of one series; they are merged with entries of the same or adjacent times.

        `market.ingest.gap_ranges.noticed` states which older entries stay.
        """

    def set_state(
        self,
        series: SeriesId,
        span: Range,
        *,
        state: GapState,
        was: Iterable[GapState] = _ANY,
        reason: str | None = None,
    ) -> None:
        """Change the state of what lies within `span` (both ends inclusive).

        Only of entries in one of the states `was`; a `reason` replaces theirs.
        """

    def entries(
        self,
        series: SeriesId | None = None,
        *,
        states: Iterable[GapState] = _ANY,
        within: Range | None = None,
    ) -> list[GapEntry]:
        """The entries, ascending by series and time; those that touch `within`, if it is given."""

    def due(self, *, limit: int) -> list[GapEntry]:
        """Holes whose next repair is due, and repairs that died; those due longest first."""

    def begin_repairs(self, entries: Sequence[GapEntry]) -> list[GapEntry]:
        """Mark due holes of one series as repairing; return those not changed meanwhile."""

    def unsettled_counts(self) -> Mapping[SeriesId, int]:
        """How many holes of each series are requested again."""


class MemoryGapLedger(GapLedger):
    """For a process without a database; `clock` returns Unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[SeriesId, list[GapEntry]] = {}

    @override
    def record(self, *entries: GapEntry) -> None:
        with self._lock:
            for entry in entries:
                known = self._entries.get(entry.series, [])
                self._entries[entry.series] = noticed(known, entry.at(self._clock()))
            for series in {entry.series for entry in entries}:
                self._entries[series] = _kept(self._entries[series])

    @override
    def set_state(
        self,
        series: SeriesId,
        span: Range,
        *,
        state: GapState,
        was: Iterable[GapState] = _ANY,
        reason: str | None = None,
    ) -> None:
        with self._lock:
            known = self._entries.get(series, [])
            now = self._clock()
            self._entries[series] = changed(
                known, span, state=state, was=set(was), now=now, reason=reason
            )

    @override
    def entries(
        self,
        series: SeriesId | None = None,
        *,
        states: Iterable[GapState] = _ANY,
        within: Range | None = None,
    ) -> list[GapEntry]:
        wanted = set(states)
        with self._lock:
            names = sorted(self._entries, key=str) if series is None else [series]
            found = [e for n in names for e in self._entries.get(n, []) if e.state in wanted]
        return [e for e in found if within is None or e.part(*within) is not None]

    @override
    def due(self, *, limit: int) -> list[GapEntry]:
        now = self._clock()
        waiting = [e for e in self.entries(states=UNSETTLED) if is_due(e, now)]
        return sorted(waiting, key=lambda entry: entry.next_attempt_at or 0.0)[:limit]

    @override
    def begin_repairs(self, entries: Sequence[GapEntry]) -> list[GapEntry]:
        begun = []
        with self._lock:
            for entry in entries:
                known = self._entries.get(entry.series, [])
                if entry in known:
                    begun.append(entry.begun(self._clock()))
                    known[known.index(entry)] = begun[-1]
        return begun

    @override
    def unsettled_counts(self) -> Mapping[SeriesId, int]:
        return Counter(entry.series for entry in self.entries(states=UNSETTLED))


class PostgresGapLedger(GapLedger):
    """Rows of the `gaps` table."""

    def __init__(self) -> None:
        # New rows of each series since it was last trimmed; other processes count for themselves.
        self._untrimmed: defaultdict[SeriesId, int] = defaultdict(lambda: TRIMMED_AFTER)

    @override
    def record(self, *entries: GapEntry) -> None:
        if not entries:
            return
        now = time.time()

        def with_new(known: list[GapEntry]) -> list[GapEntry]:
            for entry in entries:
                known = noticed(known, entry.at(now))
            return known

        series = entries[0].series
        span = (min(e.from_time for e in entries), max(e.to_time for e in entries))
        self._untrimmed[series] += self._rewrite(series, span, with_new)
        if self._untrimmed[series] > TRIMMED_AFTER:
            self._trim(series)

    def _trim(self, series: SeriesId) -> None:
        self._untrimmed[series] = 0
        for states in _KINDS:
            rows = GapRecord.objects.filter(in_states(states), series__name=str(series))
            old = rows.order_by("-from_time").values("pk")[KEPT:]
            GapRecord.objects.filter(pk__in=old).delete()

    @override
    def set_state(
        self,
        series: SeriesId,
        span: Range,
        *,
        state: GapState,
        was: Iterable[GapState] = _ANY,
        reason: str | None = None,
    ) -> None:
        now, states = time.time(), set(was)
        self._rewrite(
            series,
            span,
            lambda known: changed(known, span, state=state, was=states, now=now, reason=reason),
        )

    def _rewrite(
        self, series: SeriesId, span: Range, change: Callable[[list[GapEntry]], list[GapEntry]]
    ) -> int:
        """Replace the rows that touch a range by what `change` returns; return how many are new."""
        step = series.timeframe.seconds
        with transaction.atomic():
            with connection.cursor() as cursor:
                lock = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
                cursor.execute(lock, [f"gaps of {series}"])
            key = Series.objects.filter(name=str(series)).first()
            if key is None:
                # A gap lies beside stored candles, and this series has none.
                return 0
            touched = GapRecord.objects.filter(
                series=key, from_time__lte=span[1] + step, to_time__gte=span[0] - step
            )
            rows = touched.select_related("series").order_by("from_time")
            before = [entry_of(row) for row in rows]
            after = change(before)
            gone = set(before).difference(after)
            if gone:
                touched.filter(from_time__in=[entry.from_time for entry in gone]).delete()
            fresh = set(after).difference(before)
            GapRecord.objects.bulk_create(row_of(key, entry) for entry in after if entry in fresh)
            return len(fresh)

    @override
    def entries(
        self,
        series: SeriesId | None = None,
        *,
        states: Iterable[GapState] = _ANY,
        within: Range | None = None,
    ) -> list[GapEntry]:
        rows = GapRecord.objects.filter(in_states(states))
        if series is not None:
            rows = rows.filter(series__name=str(series))
        if within is not None:
            rows = rows.filter(from_time__lte=within[1], to_time__gte=within[0])
        found = [entry_of(row) for row in rows.select_related("series").order_by("from_time")]
        return sorted(found, key=lambda entry: (str(entry.series), entry.from_time))

    @override
    def due(self, *, limit: int) -> list[GapEntry]:
        now = datetime.now(UTC)
        # The release before begins a repair without planning the next one.
        died = Q(updated_at__lte=now - timedelta(seconds=REPAIR_TIMEOUT_S))
        waiting = GapRecord.objects.filter(
            ~Q(state=GapRecord.State.REPAIRING) | died,
            in_states(UNSETTLED),
            next_attempt_at__lte=now,
        )
        rows = waiting.select_related("series").order_by("next_attempt_at")[:limit]
        return [entry_of(row) for row in rows]

    @override
    def begin_repairs(self, entries: Sequence[GapEntry]) -> list[GapEntry]:
        if not entries:
            return []
        now, wanted = time.time(), set(entries)
        with transaction.atomic():
            found = GapRecord.objects.select_for_update(of=("self",)).filter(
                series__name=str(entries[0].series),
                from_time__in=[entry.from_time for entry in entries],
            )
            rows = [row for row in found.select_related("series") if entry_of(row) in wanted]
            begun = [entry_of(row).begun(now) for row in rows]
            for row, entry in zip(rows, begun, strict=True):
                row.state, row.missing = columns_of(entry.state).values()
                row.attempts = entry.attempts
                row.next_attempt_at = moment_of(entry.next_attempt_at or now)
                row.updated_at = moment_of(entry.updated_at)
            fields = ("state", "missing", "attempts", "next_attempt_at", "updated_at")
            GapRecord.objects.bulk_update(rows, fields, batch_size=500)
        return sorted(begun, key=lambda entry: entry.from_time)

    @override
    def unsettled_counts(self) -> Mapping[SeriesId, int]:
        rows = GapRecord.objects.filter(in_states(UNSETTLED)).values_list("series__name")
        return {SeriesId.parse(name): count for name, count in rows.annotate(Count("pk"))}


def _kept(entries: list[GapEntry]) -> list[GapEntry]:
    """The entries without the oldest of those that are more than KEPT of a kind."""
    for states in _KINDS:
        surplus = sum(entry.state in states for entry in entries) - KEPT
        for entry in [each for each in entries if each.state in states][: max(0, surplus)]:
            entries.remove(entry)
    return entries


@once
def ledger() -> GapLedger:
    """The ledger of this process: PostgreSQL with its switch on, memory otherwise."""
    return PostgresGapLedger() if settings.SWITCHES.enable_pg_store else MemoryGapLedger()
