"""Converts the table `candles` to a TimescaleDB hypertable, and back to a plain table.

Both conversions keep every row and work on an empty or a filled table. The store's statements are
the same on either.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from market.stores.postgres_guard import REFUSAL, NotLoaded, extension_of

NOT_AVAILABLE = "timescaledb_not_available"
APACHE_LICENSE = "timescaledb_license_apache"
COMPRESSION = ("compression", "policy_compression", "compress_after")
RETENTION = ("retention", "policy_retention", "drop_after")

OURS = "hypertable_name = 'candles' AND hypertable_schema = current_schema()"

# The trigger guards against writers that bypass our own check. It runs once a statement: once a row
# would cost more than the row.
HELPERS = f"""
CREATE OR REPLACE FUNCTION candles_now() RETURNS bigint LANGUAGE sql STABLE AS
    'SELECT extract(epoch FROM now())::bigint';
CREATE OR REPLACE FUNCTION candles_guard() RETURNS trigger LANGUAGE plpgsql AS $guard$
BEGIN
    IF current_setting('timescaledb.disable_load', true) IS DISTINCT FROM 'off'
        OR current_setting('timescaledb.restoring', true) = 'on'
    THEN
        RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN NULL;
END $guard$;
CREATE OR REPLACE TRIGGER candles_guard BEFORE INSERT ON candles
    FOR EACH STATEMENT EXECUTE FUNCTION candles_guard()
"""

# No index on the time alone: every read is for one series.
CONVERT = """
SELECT create_hypertable('candles', 'candle_time', chunk_time_interval => %s::bigint,
    create_default_indexes => false, migrate_data => true, if_not_exists => true);
SELECT set_chunk_time_interval('candles', %s::bigint);
SELECT set_integer_now_func('candles', 'candles_now', replace_if_exists => true)
"""

MAKE_COMPRESSIBLE = """
ALTER TABLE candles SET (timescaledb.compress, timescaledb.compress_segmentby = 'series_id',
    timescaledb.compress_orderby = 'candle_time')
"""

COPY_OUT = """
CREATE TABLE candles_plain (LIKE candles INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
INSERT INTO candles_plain SELECT * FROM candles;
ALTER TABLE candles_plain ADD CONSTRAINT candles_plain_pkey PRIMARY KEY (series_id, candle_time)
"""
COPY_OUTSIDE = "INSERT INTO candles_plain SELECT * FROM ONLY candles ON CONFLICT DO NOTHING"

GRANTS = """
SELECT format('GRANT %s ON candles_plain TO %s', privilege_type,
    CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END)
FROM pg_class, aclexplode(relacl) WHERE pg_class.oid = 'candles'::regclass AND grantee <> relowner
"""

REPLACE = """
DROP TABLE candles;
DROP FUNCTION IF EXISTS candles_now(), candles_guard();
ALTER TABLE candles_plain RENAME TO candles;
ALTER INDEX candles_plain_pkey RENAME TO candles_pkey
"""

HYPERTABLE = f"""
SELECT compression_enabled,
    (SELECT integer_interval FROM timescaledb_information.dimensions WHERE {OURS}),
    (SELECT count(*) FROM timescaledb_information.chunks WHERE {OURS}),
    (SELECT count(*) FROM timescaledb_information.chunks WHERE {OURS} AND is_compressed),
    hypertable_size('candles')
FROM timescaledb_information.hypertables WHERE {OURS}
"""

ROWS_OUTSIDE = "SELECT count(*) FROM ONLY candles"

POLICY = f"""
SELECT (config->>%s)::bigint FROM timescaledb_information.jobs WHERE {OURS} AND proc_name = %s
"""


class TimescaleError(Exception):
    """The server does not support this; `str()` begins with a stable code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HypertablePlan:
    """The hypertable as configured; all in seconds, 0 turns a policy off."""

    chunk_s: int
    compress_after_s: int = 0
    retention_s: int = 0

    @staticmethod
    def from_switches(switches: Any) -> HypertablePlan:
        """The plan that the switches ask for.

        Chunks are compressed and dropped as a whole, so neither starts sooner than one chunk ago.
        """
        chunk = switches.timescale_chunk_s
        wanted = (switches.timescale_compress_after_s, switches.timescale_retention_s)
        compress, retain = (max(chunk, seconds) if seconds else 0 for seconds in wanted)
        return HypertablePlan(chunk_s=chunk, compress_after_s=compress, retention_s=retain)


class Hypertable(NamedTuple):
    """The hypertable as it is in the database."""

    is_compressible: bool
    chunk_s: int
    chunks: int
    compressed_chunks: int
    size_bytes: int
    compress_after_s: int
    retention_s: int
    rows_outside: int
    """Rows written while the library was not loaded; no read finds them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """TimescaleDB on this server and in this database; versions are None where it is not."""

    available: str | None
    installed: str | None
    state: str
    hypertable: Hypertable | None

    @property
    def can_convert(self) -> bool:
        """Whether the server offers the extension with its library loaded."""
        return self.available is not None and self.state == "loaded"


def status(connection: BaseDatabaseWrapper) -> ServerStatus:
    """Inspect the server; an extension whose library is missing is not called."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        extension = extension_of(cursor)
        cursor.execute(
            "SELECT default_version FROM pg_available_extensions WHERE name = 'timescaledb'"
        )
        available = cursor.fetchone()
        usable = extension.installed and extension.is_loaded
        hypertable = _hypertable(cursor) if usable else None
    return ServerStatus(
        available=available[0] if available else None,
        installed=extension.installed,
        state=extension.state,
        hypertable=hypertable,
    )


def can_aggregate(connection: BaseDatabaseWrapper) -> bool:
    """Whether candles are in a hypertable that continuous aggregates can be made of."""
    if status(connection).hypertable is None:
        return False
    with connection.cursor() as cursor:
        return not _is_apache(cursor)


def enable(connection: BaseDatabaseWrapper, plan: HypertablePlan) -> None:
    """Make `candles` a hypertable as planned, or change an existing one to match the plan.

    Moves the rows of a filled table, which is locked meanwhile. Raises TimescaleError or NotLoaded
    on a server that does not support it.
    """
    _require(status(connection))
    with connection.cursor() as cursor:
        # A transaction of its own: the extension's functions exist only afterwards.
        cursor.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    with _locked_candles(connection) as cursor:
        cursor.execute(HELPERS)
        cursor.execute(CONVERT, [plan.chunk_s, plan.chunk_s])
        _apply_policies(cursor, plan)
    _analyze(connection)


def disable(connection: BaseDatabaseWrapper) -> bool:
    """Make the hypertable a plain table with all its rows; return whether it was a hypertable.

    The table is locked meanwhile. Chunks that the retention policy dropped are not restored.
    """
    now = status(connection)
    if now.installed and now.state != "loaded":
        raise NotLoaded(now.state)
    if now.hypertable is None:
        return False
    with _locked_candles(connection) as cursor:
        cursor.execute(COPY_OUT)
        with _without_extension(cursor):
            cursor.execute(COPY_OUTSIDE)
        cursor.execute(GRANTS)
        for (grant,) in cursor.fetchall():
            cursor.execute(grant)
        cursor.execute(REPLACE)
    _analyze(connection)
    return True


def _require(now: ServerStatus) -> None:
    if now.available is None:
        raise TimescaleError(f"{NOT_AVAILABLE}: the server has no TimescaleDB to create")
    if now.state != "loaded":
        raise NotLoaded(now.state)


@contextmanager
def _locked_candles(connection: BaseDatabaseWrapper) -> Iterator[Any]:
    """A transaction with `candles` locked against readers and writers, without a timeout."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute("LOCK TABLE candles IN ACCESS EXCLUSIVE MODE")
        yield cursor


def _analyze(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE candles")


def _hypertable(cursor: Any) -> Hypertable | None:
    cursor.execute(HYPERTABLE)
    row = cursor.fetchone()
    if row is None:
        return None
    compress_after, retention = _policy(cursor, COMPRESSION), _policy(cursor, RETENTION)
    with _without_extension(cursor):
        cursor.execute(ROWS_OUTSIDE)
        (outside,) = cursor.fetchone()
    return Hypertable._make([*row, compress_after, retention, outside])


@contextmanager
def _without_extension(cursor: Any) -> Iterator[None]:
    """See the hypertable as its plain parent table, within this transaction."""
    cursor.execute("SET LOCAL timescaledb.restoring = on")
    yield
    cursor.execute("SET LOCAL timescaledb.restoring = off")


def _policy(cursor: Any, policy: tuple[str, str, str]) -> int:
    _, procedure, key = policy
    cursor.execute(POLICY, [key, procedure])
    row = cursor.fetchone()
    return row[0] if row else 0


def _apply_policies(cursor: Any, plan: HypertablePlan) -> None:
    now = _hypertable(cursor)
    assert now is not None
    wanted = plan.compress_after_s or plan.retention_s
    if wanted and _is_apache(cursor):
        raise TimescaleError(f"{APACHE_LICENSE}: compression and retention need the community one")
    if plan.compress_after_s and not now.is_compressible:
        cursor.execute(MAKE_COMPRESSIBLE)
    for policy, before, after in (
        (COMPRESSION, now.compress_after_s, plan.compress_after_s),
        (RETENTION, now.retention_s, plan.retention_s),
    ):
        _apply_policy(cursor, policy, before=before, after=after)


def _is_apache(cursor: Any) -> bool:
    """Whether the server has only what TimescaleDB's Apache licence covers."""
    cursor.execute("SELECT current_setting('timescaledb.license', true)")
    return bool(cursor.fetchone()[0] == "apache")


def _apply_policy(cursor: Any, policy: tuple[str, str, str], *, before: int, after: int) -> None:
    name, _, key = policy
    if before == after:
        return
    if before:
        cursor.execute(f"SELECT remove_{name}_policy('candles')")
    if after:
        cursor.execute(f"SELECT add_{name}_policy('candles', {key} => %s::bigint)", [after])
