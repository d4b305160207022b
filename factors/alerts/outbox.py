"""The outbox of alerts in PostgreSQL: written with the candles, read by deliveries and streams.

An alert is there if and only if its candle was committed. The primary key is a function of what was
found, so writing it again changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import orjson
from django.db import connection, transaction

from factors.alerts.models import AlertRule
from factors.alerts.occurrences import Alert
from factors.alerts.rules import MOST_RULES, Direction, Rule
from market.domain.series import SeriesId
from market.stores.postgres import read_rows

MOST_ATTEMPTS = 16
MAX_AGE_S = 24 * 3600
ERROR_LENGTH = 200
PRUNED_AT_ONCE = 10_000
# Advisory locks of the database.
NUMBERING_LOCK, CLAIMING_LOCK = 5_190_233_001, 5_190_233_002
LOCK = "SELECT pg_advisory_xact_lock(%s)"

ADD = b"""
INSERT INTO alerts (id, rule_id, series, kind, event_key, candle_time, body,
    is_streamed, is_public, state, host)
SELECT given.id, rule.id, given.series, given.kind, given.event_key, given.candle_time, given.body,
    rule.to_stream, rule.is_public,
    CASE WHEN rule.webhook_url = '' THEN 'streamed' ELSE 'pending' END, rule.webhook_host
FROM (VALUES (%s, %s::bigint, %s, %s, %s, %s::bigint, %s))
    AS given (id, rule_id, series, kind, event_key, candle_time, body)
JOIN alert_rules AS rule ON rule.id = given.rule_id AND rule.enabled
"""
# In the order in which they are written, each alert sees those before it.
UNLESS_PAUSED = b"""
WHERE NOT EXISTS (
    SELECT 1 FROM alerts AS earlier WHERE earlier.rule_id = given.rule_id
    AND earlier.series = given.series AND earlier.id <> given.id
    AND earlier.candle_time > given.candle_time - %s
)
"""
ONCE_EACH = b" ON CONFLICT DO NOTHING"

NUMBER = """
UPDATE alerts SET seq = numbered.seq FROM (
    SELECT id, nextval('alert_stream_seq') AS seq FROM (
        SELECT id FROM alerts WHERE seq IS NULL AND is_streamed
        ORDER BY created_at, candle_time, id LIMIT 10000
    ) AS waiting
) AS numbered
WHERE alerts.id = numbered.id
"""

CLAIM = """
WITH hosts AS (SELECT DISTINCT host FROM alerts WHERE state = 'pending'),
busy AS (
    SELECT host, count(*) AS running FROM alerts
    WHERE state = 'pending' AND claimed_until > now() GROUP BY host
),
chosen AS (
    SELECT due.id FROM hosts LEFT JOIN busy USING (host) CROSS JOIN LATERAL (
        SELECT alerts.id, alerts.next_attempt_at FROM alerts
        JOIN alert_rules AS rule ON rule.id = alerts.rule_id
        WHERE alerts.state = 'pending' AND alerts.host = hosts.host
            AND alerts.next_attempt_at <= now() AND rule.enabled AND rule.webhook_url <> ''
        ORDER BY alerts.next_attempt_at LIMIT greatest(0, %(per_host)s - coalesce(busy.running, 0))
    ) AS due
    ORDER BY due.next_attempt_at LIMIT %(most)s
),
locked AS (
    SELECT id FROM alerts WHERE id IN (SELECT id FROM chosen) AND state = 'pending'
    FOR UPDATE SKIP LOCKED
)
UPDATE alerts SET attempts = alerts.attempts + 1,
    claimed_until = now() + %(lease)s * interval '1 second',
    next_attempt_at = now() + %(lease)s * interval '1 second'
FROM locked, alert_rules AS rule
WHERE alerts.id = locked.id AND rule.id = alerts.rule_id
RETURNING alerts.id, alerts.rule_id, rule.webhook_url, rule.secret, alerts.body, alerts.attempts,
    extract(epoch FROM now() - alerts.queued_at)::float8
"""

NOTE = """
INSERT INTO alert_attempts (alert_id, number, at, duration_ms, status, error)
SELECT id, %(number)s, now() - %(ms)s * interval '1 millisecond', %(ms)s, %(status)s, %(error)s
FROM alerts WHERE id = %(id)s;
"""
# A claim that ran out may have been delivered by another worker meanwhile: that stays.
DONE = """
UPDATE alerts SET state = 'delivered', delivered_at = now(), claimed_until = NULL, last_error = ''
WHERE id = %(id)s
"""
FAILED = """
UPDATE alerts SET state = CASE WHEN %(is_last)s THEN 'dead' ELSE 'pending' END,
    claimed_until = NULL, last_error = %(error)s,
    next_attempt_at = now() + %(pause)s * interval '1 second'
WHERE id = %(id)s AND state = 'pending' AND attempts = %(number)s
"""
GONE = """
UPDATE alert_rules SET enabled = false, disabled_reason = %(error)s WHERE id = %(rule)s;
UPDATE alerts SET state = 'dead', claimed_until = NULL, last_error = %(error)s
WHERE rule_id = %(rule)s AND state = 'pending'
"""
EXPIRE = """
UPDATE alerts SET state = 'dead', last_error = 'not delivered within a day'
WHERE state = 'pending' AND queued_at < now() - %s * interval '1 second'
    AND (claimed_until IS NULL OR claimed_until < now())
"""
# The alerts of rules that fire once are what keeps them from firing again.
PRUNE = """
WITH old AS (
    SELECT alerts.id FROM alerts LEFT JOIN alert_rules AS rule ON rule.id = alerts.rule_id
    WHERE alerts.created_at < now() - %s * interval '1 day'
        AND (rule.id IS NULL OR (NOT rule.once AND alerts.state <> 'pending'))
    LIMIT %s
),
attempts AS (DELETE FROM alert_attempts USING old WHERE alert_id = old.id)
DELETE FROM alerts USING old WHERE alerts.id = old.id
"""


class Claimed(NamedTuple):
    """An alert to be delivered now; `age_s` is how long it has waited in all."""

    id: str
    rule_id: int
    url: str
    secret: str
    body: str
    attempt: int
    age_s: float


class Streamed(NamedTuple):
    """An alert of the stream; `seq` grows in the order of publication, within a generation."""

    generation: str
    seq: int
    kind: str
    series: str
    rule_id: int
    body: str
    is_public: bool

    @property
    def event_id(self) -> str:
        """What a client names to go on after this alert."""
        return f"{self.generation}-{self.seq}"


class Mark(NamedTuple):
    """A place in the stream: what came after it has greater numbers, in the same generation."""

    generation: str
    seq: int


class Waiting(NamedTuple):
    """Alerts that wait for delivery, since how many seconds the oldest does, and dead ones."""

    alerts: int
    oldest_s: float
    dead: int


class Added(NamedTuple):
    """The alerts of one series, to be written at the end of its transaction."""

    series: SeriesId
    alerts: Sequence[Alert]
    at: float


def add(cursor: Any, entries: Sequence[Added]) -> bytes:
    """The statements that write alerts of several series (market.stores.postgres_writer)."""
    return b";".join(_added(cursor, entry, alert) for entry in entries for alert in entry.alerts)


def _added(cursor: Any, entry: Added, alert: Alert) -> bytes:
    rule, (kind, time, key, _) = alert.rule, alert.fact
    body = body_of(entry.series, alert, entry.at)
    values: list[Any] = [alert.id, rule.id, str(entry.series), kind, key, time, body]
    statement = ADD
    if rule.cooldown_s and not rule.once:
        statement += UNLESS_PAUSED
        values.append(rule.cooldown_s)
    text: bytes = cursor.mogrify(statement + ONCE_EACH, values)
    return text


def body_of(series: SeriesId, alert: Alert, at: float) -> str:
    """The body of an alert: the same bytes at every attempt."""
    rule, (kind, time, key, data) = alert.rule, alert.fact
    body = {
        "id": alert.id,
        "kind": kind,
        "series_id": str(series),
        "candle_time": time,
        "event_key": key,
        "created_at": round(at, 3),
        "rule": {"id": rule.id, "name": rule.name},
        "data": dict(data),
    }
    return orjson.dumps(body).decode()


def load_rules() -> list[Rule]:
    """The enabled rules, in one query."""
    rows = AlertRule.objects.filter(enabled=True).order_by("pk")[:MOST_RULES]
    return [
        Rule(
            id=row.pk,
            uid=row.uid,
            name=row.name,
            pattern=row.series,
            active_from=row.active_from.timestamp(),
            kinds=frozenset()
            if row.source == AlertRule.Source.PRICE
            else frozenset(filter(None, row.kinds.split(","))),
            level=row.level if row.source == AlertRule.Source.PRICE else None,
            direction=Direction(row.direction),
            touch=row.touch,
            once=row.once,
            cooldown_s=row.cooldown_s,
        )
        for row in rows
    ]


def claim(most: int, *, per_host: int, lease_s: float) -> list[Claimed]:
    """Take at most `most` alerts that are due, so that no host has more than `per_host` at once."""
    with transaction.atomic():
        # Two claims at once would each count without the other.
        read_rows(LOCK, (CLAIMING_LOCK,))
        with connection.cursor() as cursor:
            cursor.execute(CLAIM, {"most": most, "per_host": per_host, "lease": lease_s})
            return [Claimed(*row) for row in cursor.fetchall()]


def note_delivered(claimed: Claimed, *, status: int, ms: int) -> None:
    """Record a delivery that the receiver accepted."""
    _note(DONE, claimed, status=status, ms=ms, error="")


def note_failed(
    claimed: Claimed, *, status: int | None, ms: int, error: str, pause_s: float
) -> bool:
    """Record a failed attempt; return whether it was the last."""
    age_s = claimed.age_s + ms / 1000
    is_last = claimed.attempt >= MOST_ATTEMPTS or age_s + pause_s > MAX_AGE_S
    _note(FAILED, claimed, status=status, ms=ms, error=error, is_last=is_last, pause=pause_s)
    return is_last


def note_gone(claimed: Claimed, *, status: int, ms: int, error: str) -> None:
    """Record that the receiver is gone for good: its rule is disabled, what waits is given up."""
    _note(GONE, claimed, status=status, ms=ms, error=error, rule=claimed.rule_id)


def _note(
    statement: str, claimed: Claimed, *, status: int | None, ms: int, error: str, **more: object
) -> None:
    values: dict[str, object] = {
        "id": claimed.id,
        "number": claimed.attempt,
        "status": status,
        "ms": ms,
        "error": error[:ERROR_LENGTH],
        **more,
    }
    with transaction.atomic():
        _execute(NOTE + statement, values)


def expire() -> int:
    """Give up what waited too long; return how many alerts."""
    return _execute(EXPIRE, (MAX_AGE_S,))


def prune(keep_days: int) -> int:
    """Delete old alerts with their deliveries, a bounded number; return how many."""
    return _execute(PRUNE, (keep_days, PRUNED_AT_ONCE))


def number_streamed() -> None:
    """Number the committed alerts of the stream that have no number yet.

    One process at a time: a number is visible before any greater one is given, so that a reader
    who goes on after the greatest number misses nothing.
    """
    found = read_rows("SELECT EXISTS (SELECT 1 FROM alerts WHERE seq IS NULL AND is_streamed)", ())
    if found[0][0]:
        with transaction.atomic():
            read_rows(LOCK, (NUMBERING_LOCK,))
            _execute(NUMBER, ())


def streamed_after(seq: int, limit: int, *, is_public: bool = False) -> list[Streamed]:
    """The alerts of the stream after a number, in order; with `is_public` those for everyone."""
    rows = read_rows(
        "SELECT store_generation(), seq, kind, series, rule_id, body, is_public FROM alerts"
        " WHERE seq > %s AND (is_public OR NOT %s) ORDER BY seq LIMIT %s",
        (seq, is_public, limit),
    )
    return [Streamed(*row) for row in rows]


def newest_mark() -> Mark:
    """The end of the stream at this moment."""
    number_streamed()
    rows = read_rows(
        "SELECT store_generation(), CASE WHEN is_called THEN last_value ELSE 0 END"
        " FROM alert_stream_seq",
        (),
    )
    return Mark(*rows[0])


def news_after(seq: int, limit: int) -> list[Streamed]:
    """What was committed since, numbered."""
    number_streamed()
    return streamed_after(seq, limit)


def waiting() -> Waiting:
    """What waits for delivery, and how much was given up."""
    rows = read_rows(
        "SELECT count(*) FILTER (WHERE state = 'pending'),"
        " coalesce(extract(epoch FROM now() - min(queued_at) FILTER (WHERE state = 'pending')),"
        " 0)::float8, count(*) FILTER (WHERE state = 'dead')"
        " FROM alerts WHERE state IN ('pending', 'dead')",
        (),
    )
    return Waiting(*rows[0])


def send_again(ids: Iterable[str]) -> int:
    """Have alerts delivered once more, from the first attempt on; return how many."""
    return _execute(
        "UPDATE alerts SET state = 'pending', attempts = 0, queued_at = now(),"
        " next_attempt_at = now(), claimed_until = NULL, delivered_at = NULL"
        " FROM alert_rules AS rule WHERE alerts.id = ANY(%s) AND rule.id = alerts.rule_id"
        " AND rule.webhook_url <> '' AND alerts.state <> 'pending'",
        (list(ids),),
    )


def _execute(statement: str, values: Any) -> int:
    """Execute a statement; return how many rows it wrote."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return int(cursor.rowcount)
