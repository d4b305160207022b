"""The lease store of a process that ingests by itself: dictionaries behind one lock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from typing_extensions import override

from market.domain.lease_store import (
    IDLE,
    Admission,
    BackfillProgress,
    Group,
    JobReport,
    LeasedSeries,
    LeaseStore,
    Member,
    Venue,
)
from market.domain.series import SeriesId


class MemoryLeaseStore(LeaseStore):
    """Keeps everything in this process; `clock` returns Unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._leases: dict[SeriesId, dict[str, float]] = {}
        self._leased_until: dict[SeriesId, float] = {}
        # By client, instance and series: the end of the hold.
        self._holds: dict[tuple[str, str, SeriesId], float] = {}
        self._watched: dict[SeriesId, float] = {}
        self._owners: dict[Group, tuple[str, float]] = {}
        self._markers: dict[str, float] = {}
        self._reports: dict[SeriesId, tuple[JobReport, float]] = {}
        self._progress: dict[SeriesId, BackfillProgress] = {}
        self._members: dict[tuple[str, str], tuple[Member, float]] = {}

    @override
    def lease(
        self,
        series: SeriesId,
        instance: str,
        *,
        ttl: float,
        admission: Admission,
        client: str = "",
    ) -> bool:
        with self._lock:
            now = self._clock()
            self._forget_idle(now - admission.idle_ttl)
            self._holds = {hold: until for hold, until in self._holds.items() if until > now}
            is_counted = bool(client) and admission.counts_clients_of(series)
            held = {each for holder, _, each in self._holds if holder == client}
            if is_counted and not admission.fits(series, held):
                return False
            if not self._make_room(series, now, admission):
                return False
            self._hold(series, instance, now + ttl, [client] if is_counted else [])
            return True

    def _make_room(self, series: SeriesId, now: float, admission: Admission) -> bool:
        if series in admission.pinned or series in self._leased_until:
            return True
        ends = self._leased_until
        counted = [each for each in ends if each not in admission.pinned]
        lingering = sorted(
            (each for each in counted if ends[each] <= now),
            key=lambda each: (ends[each], str(each)),
        )
        evicted = self._venues_to_evict(series, counted, lingering, admission)
        if evicted is None:
            return False
        if admission.limit:
            surplus = len(counted) - len(evicted) - admission.limit + 1
            left = [each for each in lingering if each not in evicted]
            if surplus > len(left):
                return False
            evicted |= set(left[: max(0, surplus)])
        for each in evicted:
            del self._leased_until[each]
            self._leases.pop(each, None)
        return True

    def _venues_to_evict(
        self,
        series: SeriesId,
        counted: list[SeriesId],
        lingering: list[SeriesId],
        admission: Admission,
    ) -> set[SeriesId] | None:
        """The series of the longest idle venues in the way of a new one; None if too few idle."""
        pinned = {Venue.of(each) for each in admission.pinned}
        taken = {Venue.of(each) for each in counted} - pinned
        if not admission.venue_limit or Venue.of(series) in taken | pinned:
            return set()
        watched = {Venue.of(each) for each in counted if each not in lingering}
        # By the end of each venue's last lease.
        newest = {Venue.of(each): at for at, each in enumerate(lingering)}
        idle = sorted(taken - watched, key=newest.__getitem__)
        surplus = max(0, len(taken) - admission.venue_limit + 1)
        if surplus > len(idle):
            return None
        return {each for each in lingering if Venue.of(each) in idle[:surplus]}

    def _hold(
        self, series: SeriesId, instance: str, until: float, clients: Collection[str]
    ) -> None:
        self._holds.update({(client, instance, series): until for client in clients})
        self._leases.setdefault(series, {})[instance] = until
        self._leased_until[series] = max(until, self._leased_until.get(series, 0.0))

    def _forget_idle(self, before: float) -> None:
        for series in [each for each, until in self._leased_until.items() if until <= before]:
            del self._leased_until[series]
            self._leases.pop(series, None)

    @override
    def renew(self, instance: str, held: Mapping[SeriesId, Collection[str]], *, ttl: float) -> None:
        with self._lock:
            for series, clients in held.items():
                self._hold(series, instance, self._clock() + ttl, clients)

    @override
    def release(self, series: SeriesId, instance: str, clients: Collection[str] = ()) -> None:
        self.release_clients(series, instance, clients)
        with self._lock:
            held = self._leases.get(series, {})
            if held.pop(instance, None) is not None:
                self._leased_until[series] = max([self._clock(), *held.values()])

    @override
    def release_clients(self, series: SeriesId, instance: str, clients: Collection[str]) -> None:
        with self._lock:
            for client in clients:
                self._holds.pop((client, instance, series), None)

    @override
    def watch(self, series: Collection[SeriesId], *, ttl: float) -> None:
        with self._lock:
            until = self._clock() + ttl
            self._watched.update({s: max(until, self._watched.get(s, 0.0)) for s in series})

    @override
    def watched(self) -> set[SeriesId]:
        with self._lock:
            now = self._clock()
            self._watched = {each: until for each, until in self._watched.items() if until > now}
            return set(self._watched)

    @override
    def leased(self, *, idle_ttl: float) -> list[LeasedSeries]:
        with self._lock:
            now = self._clock()
            self._forget_idle(now - idle_ttl)
            return [
                LeasedSeries(each, sum(u > now for u in self._leases.get(each, {}).values()), until)
                for each, until in sorted(self._leased_until.items(), key=lambda item: str(item[0]))
            ]

    @override
    def take_group(self, group: Group, token: str, *, ttl: float) -> bool:
        with self._lock:
            if self._owner(group) is not None:
                return False
            self._owners[group] = (token, self._clock() + ttl)
            return True

    def _owner(self, group: Group) -> str | None:
        token, until = self._owners.get(group, (None, 0.0))
        return token if until > self._clock() else None

    @override
    def renew_group(self, group: Group, token: str, *, ttl: float) -> bool:
        with self._lock:
            if self._owner(group) != token:
                return False
            self._owners[group] = (token, self._clock() + ttl)
            return True

    @override
    def release_group(self, group: Group, token: str) -> None:
        with self._lock:
            if self._owner(group) == token:
                del self._owners[group]

    @override
    def owned_groups(self, groups: Collection[Group]) -> set[Group]:
        with self._lock:
            return {group for group in groups if self._owner(group) is not None}

    @override
    def claim(self, name: str, *, ttl: float) -> bool:
        with self._lock:
            now = self._clock()
            self._markers = {each: until for each, until in self._markers.items() if until > now}
            if name in self._markers:
                return False
            self._markers[name] = now + ttl
            return True

    @override
    def extend_claim(self, name: str, *, ttl: float) -> None:
        with self._lock:
            now = self._clock()
            if self._markers.get(name, 0.0) > now:
                self._markers[name] = now + ttl

    @override
    def is_claimed(self, name: str) -> bool:
        with self._lock:
            return self._markers.get(name, 0.0) > self._clock()

    @override
    def unclaim(self, name: str) -> None:
        with self._lock:
            self._markers.pop(name, None)

    @override
    def report(self, reports: Mapping[SeriesId, JobReport], *, ttl: float) -> None:
        with self._lock:
            until = self._clock() + ttl
            self._reports.update({series: (one, until) for series, one in reports.items()})

    @override
    def reports(self, series: Collection[SeriesId]) -> dict[SeriesId, JobReport]:
        with self._lock:
            now = self._clock()
            self._reports = {s: kept for s, kept in self._reports.items() if kept[1] > now}
            return {each: self._reports[each][0] for each in series if each in self._reports}

    @override
    def drop_reports(self, series: Collection[SeriesId]) -> None:
        with self._lock:
            for each in series:
                self._reports.pop(each, None)

    @override
    def announce(self, member: Member, *, ttl: float) -> None:
        with self._lock:
            self._members[member.kind, member.name] = (member, self._clock() + ttl)

    @override
    def withdraw(self, member: Member) -> None:
        with self._lock:
            self._members.pop((member.kind, member.name), None)

    @override
    def members(self) -> list[Member]:
        with self._lock:
            now = self._clock()
            self._members = {key: kept for key, kept in self._members.items() if kept[1] > now}
            return [self._members[key][0] for key in sorted(self._members)]

    @override
    def set_progress(self, series: SeriesId, progress: BackfillProgress) -> None:
        with self._lock:
            self._progress[series] = progress

    @override
    def progress(self, series: SeriesId) -> BackfillProgress:
        with self._lock:
            return self._progress.get(series, IDLE)

    @override
    def progress_of(self, series: Sequence[SeriesId]) -> dict[SeriesId, BackfillProgress]:
        return {each: self.progress(each) for each in series}
