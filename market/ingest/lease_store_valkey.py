"""The lease store that web instances and workers share, kept in Valkey (or Redis).

Times are the server's, so instances with different clocks agree. Calls that read before they write
are one script each.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from typing import Any

import orjson
from redis import BlockingConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from typing_extensions import override

from market import identity
from market.domain.lease_store import (
    IDLE,
    Admission,
    BackfillProgress,
    Group,
    JobReport,
    LeasedSeries,
    LeaseStore,
    LeaseStoreUnavailable,
    Member,
)
from market.domain.series import SeriesId
from market.ingest.lease_scripts import (
    LEASE,
    LEASED,
    RELEASE,
    RELEASE_OWNER,
    RENEW,
    RENEW_OWNER,
    WATCH,
    WATCHED,
)

CALL_TIMEOUT_S = 2.0
CONNECTIONS = 16
PROGRESS_TTL_S = 86_400


def connect(url: str) -> Redis:
    """A client of Valkey with bounded connections and a timeout on every call."""
    return Redis(
        connection_pool=BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=CALL_TIMEOUT_S,
            socket_timeout=CALL_TIMEOUT_S,
            socket_connect_timeout=CALL_TIMEOUT_S,
            # One retry, for a connection that a restarted server has closed.
            retry=Retry(NoBackoff(), 1),
            decode_responses=True,
        )
    )


class ValkeyLeaseStore(LeaseStore):
    """Keeps everything under one key prefix, which is known once the database has answered."""

    def __init__(self, client: Redis, prefix: Callable[[], str] = identity.prefix) -> None:
        self._client = client
        self._prefix = prefix
        scripts = (LEASE, RENEW, RELEASE, LEASED, WATCH, WATCHED, RENEW_OWNER, RELEASE_OWNER)
        (
            self._lease,
            self._renew,
            self._release,
            self._leased,
            self._watch,
            self._watched,
            self._renew_owner,
            self._release_owner,
        ) = (client.register_script(script) for script in scripts)

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
        limits = (
            admission.limit,
            admission.venue_limit,
            admission.client_limit,
            admission.client_venue_limit,
        )
        counted = [client] if client and admission.counts_clients_of(series) else []
        pinned = sorted(map(str, admission.pinned)) if any(limits) else ()
        with _reaching():
            return bool(
                self._lease(
                    keys=[self._until, self._key("lease", series), *self._clients(counted)],
                    args=[
                        str(series),
                        instance,
                        _ms(ttl),
                        _ms(admission.idle_ttl),
                        *limits,
                        *pinned,
                    ],
                )
            )

    @override
    def renew(self, instance: str, held: Mapping[SeriesId, Collection[str]], *, ttl: float) -> None:
        if not held:
            return
        holds = [(client, series) for series, clients in held.items() for client in clients]
        with _reaching():
            self._renew(
                keys=[
                    self._until,
                    *(self._key("lease", series) for series in held),
                    *self._clients(client for client, _ in holds),
                ],
                args=[
                    instance,
                    _ms(ttl),
                    len(held),
                    *map(str, held),
                    *(str(series) for _, series in holds),
                ],
            )

    @override
    def release(self, series: SeriesId, instance: str, clients: Collection[str] = ()) -> None:
        with _reaching():
            keys = [self._until, self._key("lease", series), *self._clients(clients)]
            self._release(keys=keys, args=[str(series), instance])

    @override
    def release_clients(self, series: SeriesId, instance: str, clients: Collection[str]) -> None:
        with _reaching(), self._client.pipeline(transaction=False) as calls:
            for key in self._clients(clients):
                calls.zrem(key, f"{instance} {series}")
            calls.execute()

    @override
    def watch(self, series: Collection[SeriesId], *, ttl: float) -> None:
        if series:
            with _reaching():
                self._watch(keys=[self._prefix() + "watched"], args=[_ms(ttl), *map(str, series)])

    @override
    def watched(self) -> set[SeriesId]:
        with _reaching():
            return {
                SeriesId.parse(text) for text in self._watched(keys=[self._prefix() + "watched"])
            }

    @override
    def leased(self, *, idle_ttl: float) -> list[LeasedSeries]:
        with _reaching():
            rows = self._leased(keys=[self._until], args=[_ms(idle_ttl), self._key("lease", "")])
            return sorted(
                (LeasedSeries(SeriesId.parse(s), count, float(ms) / 1000) for s, count, ms in rows),
                key=lambda row: str(row.series),
            )

    @override
    def take_group(self, group: Group, token: str, *, ttl: float) -> bool:
        with _reaching():
            return bool(self._client.set(self._key("owner", group), token, nx=True, px=_ms(ttl)))

    @override
    def renew_group(self, group: Group, token: str, *, ttl: float) -> bool:
        with _reaching():
            return bool(self._renew_owner(keys=[self._key("owner", group)], args=[token, _ms(ttl)]))

    @override
    def release_group(self, group: Group, token: str) -> None:
        with _reaching():
            self._release_owner(keys=[self._key("owner", group)], args=[token])

    @override
    def owned_groups(self, groups: Collection[Group]) -> set[Group]:
        asked = list(groups)
        return {group for group, owner in self._many("owner", asked) if owner is not None}

    @override
    def claim(self, name: str, *, ttl: float) -> bool:
        with _reaching():
            return bool(self._client.set(self._key("claim", name), "1", nx=True, px=_ms(ttl)))

    @override
    def extend_claim(self, name: str, *, ttl: float) -> None:
        with _reaching():
            self._client.pexpire(self._key("claim", name), _ms(ttl))

    @override
    def is_claimed(self, name: str) -> bool:
        with _reaching():
            return bool(self._client.exists(self._key("claim", name)))

    @override
    def unclaim(self, name: str) -> None:
        with _reaching():
            self._client.delete(self._key("claim", name))

    @override
    def report(self, reports: Mapping[SeriesId, JobReport], *, ttl: float) -> None:
        with _reaching(), self._client.pipeline(transaction=False) as calls:
            for series, report in reports.items():
                calls.set(self._key("report", series), _pack_report(report), px=_ms(ttl))
            calls.execute()

    @override
    def reports(self, series: Collection[SeriesId]) -> dict[SeriesId, JobReport]:
        found = self._many("report", list(series))
        return {each: _report_in(text) for each, text in found if text is not None}

    @override
    def drop_reports(self, series: Collection[SeriesId]) -> None:
        if series:
            with _reaching():
                self._client.delete(*(self._key("report", each) for each in series))

    @override
    def announce(self, member: Member, *, ttl: float) -> None:
        name = _name_of(member)
        with _reaching(), self._client.pipeline(transaction=False) as calls:
            calls.sadd(self._members, name)
            calls.set(self._key("member", name), _pack(member), px=_ms(ttl))
            calls.execute()

    @override
    def withdraw(self, member: Member) -> None:
        name = _name_of(member)
        with _reaching(), self._client.pipeline(transaction=False) as calls:
            calls.srem(self._members, name)
            calls.delete(self._key("member", name))
            calls.execute()

    @override
    def members(self) -> list[Member]:
        with _reaching():
            names: Any = self._client.smembers(self._members)
        found = self._many("member", sorted(names))
        if gone := [name for name, text in found if text is None]:
            # A member that announces itself at this moment is added again by its next call.
            with _reaching():
                self._client.srem(self._members, *gone)
        return [Member(**orjson.loads(text)) for _, text in found if text is not None]

    @override
    def set_progress(self, series: SeriesId, progress: BackfillProgress) -> None:
        with _reaching():
            self._client.set(self._key("progress", series), _pack(progress), ex=PROGRESS_TTL_S)

    @override
    def progress(self, series: SeriesId) -> BackfillProgress:
        with _reaching():
            text: Any = self._client.get(self._key("progress", series))
        return _progress_in(text)

    @override
    def progress_of(self, series: Sequence[SeriesId]) -> dict[SeriesId, BackfillProgress]:
        return {each: _progress_in(text) for each, text in self._many("progress", list(series))}

    @property
    def _until(self) -> str:
        return self._prefix() + "until"

    @property
    def _members(self) -> str:
        return self._prefix() + "members"

    def _key(self, kind: str, name: object) -> str:
        return f"{self._prefix()}{kind}:{name}"

    def _clients(self, digests: Iterable[str]) -> list[str]:
        return [self._key("client", each) for each in digests]

    def _many(self, kind: str, names: list[Any]) -> list[tuple[Any, str | None]]:
        if not names:
            return []
        with _reaching():
            values: Any = self._client.mget([self._key(kind, name) for name in names])
        return list(zip(names, values, strict=True))


_REPORTED = [each.name for each in fields(JobReport)]


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _name_of(member: Member) -> str:
    return f"{member.kind} {member.name}"


# Reports without these can be read by processes of the version before they were added.
_ADDED = {
    each.name: each.default
    for each in fields(JobReport)
    if each.name in {"is_halted", "refused_rows", "refused_at", "polled"}
}


def _pack_report(report: JobReport) -> bytes:
    known = asdict(report).items()
    return orjson.dumps(
        {name: value for name, value in known if name not in _ADDED or value != _ADDED[name]}
    )


def _pack(value: BackfillProgress | Member) -> bytes:
    return orjson.dumps(asdict(value))


@contextmanager
def _reaching() -> Iterator[None]:
    try:
        yield
    except (RedisError, identity.IdentityUnknown) as error:
        raise LeaseStoreUnavailable(str(error)) from error


def _report_in(text: str | bytes) -> JobReport:
    """The report, without fields that only a newer version knows."""
    found = orjson.loads(text)
    return JobReport(**{name: found[name] for name in _REPORTED if name in found})


def _progress_in(text: str | bytes | None) -> BackfillProgress:
    return IDLE if text is None else BackfillProgress(**orjson.loads(text))
