"""What of a series' rows may go once its candles before a time do: counting and deleting it.

Every read at a kept candle needs the same rows as before: the events, points and drawings that the
longest window from there reaches back to, each factor's head and each drawing's version of that
moment, and whatever may still change. All else before the cut may go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from factors.stores.chains import EventRow, text_of
from factors.stores.dense import LONG, depth_of, unpacked
from factors.stores.heads import NAMES_OF_KEY
from market.stores.postgres_writer import UNLIMITED
from overlays.domain.delta import FRESH_LIMIT
from overlays.domain.versions import NEVER

MOST_LEFT = 500
"""More events than stay before the window, as all chains that are needed together."""

EVENT = "series_id, candle_time, id, factor_name, kind, event_key, payload, data"
LAST_OF_KIND = f"""
SELECT DISTINCT ON (factor_name, kind) {EVENT} FROM factor_events
WHERE series_id = %s AND candle_time < %s
ORDER BY factor_name, kind, candle_time DESC, id DESC
"""
NEXT_OF_KIND = """
SELECT data FROM factor_events
WHERE series_id = %s AND candle_time >= %s AND factor_name = %s AND kind = %s
ORDER BY candle_time, id LIMIT 1
"""
CHAIN = f"""
SELECT {EVENT} FROM factor_events
WHERE series_id = %s AND (candle_time, id) <= (%s, %s) AND factor_name = %s AND kind = %s
ORDER BY candle_time DESC, id DESC
"""
# A head without a text repeats the last event of its candle.
REPEATED = f"""
{NAMES_OF_KEY}
SELECT event.* FROM names CROSS JOIN LATERAL (
    SELECT candle_time, head FROM factor_heads WHERE series_id = (SELECT id FROM this_series)
        AND factor_name = names.factor_name AND candle_time < %s
    ORDER BY candle_time DESC, seq DESC LIMIT 1
) AS newest CROSS JOIN LATERAL (
    SELECT {EVENT} FROM factor_events AS event
    WHERE series_id = (SELECT id FROM this_series) AND event.candle_time = newest.candle_time
        AND event.factor_name = names.factor_name
    ORDER BY id DESC LIMIT 1
) AS event
WHERE newest.head IS NULL
"""
OLD_HEADS = f"""
{NAMES_OF_KEY}
SELECT held.ctid FROM names CROSS JOIN LATERAL (
    SELECT candle_time FROM factor_heads WHERE series_id = (SELECT id FROM this_series)
        AND factor_name = names.factor_name AND candle_time < %s
    ORDER BY candle_time DESC LIMIT 1
) AS newest JOIN factor_heads AS held ON held.series_id = (SELECT id FROM this_series)
    AND held.factor_name = names.factor_name AND held.candle_time < newest.candle_time
"""
# So many versions and points stay that a client without any gets, at every kept candle, those that
# its window shows (overlays.domain.delta), as it did before.
FIRST_KEPT = f"""
SELECT min(version_id), count(*) FROM (
    SELECT version_id FROM (
        (SELECT version_id FROM overlay_versions WHERE series_id = %(key)s
            AND visible_time < %(cut)s ORDER BY visible_time DESC, version_id DESC
            LIMIT {FRESH_LIMIT + 1})
        UNION ALL
        (SELECT version_id FROM overlay_points WHERE series_id = %(key)s
            AND visible_time < %(cut)s ORDER BY visible_time DESC, version_id DESC
            LIMIT {FRESH_LIMIT + 1})
    ) AS both_tables ORDER BY version_id DESC LIMIT {FRESH_LIMIT + 1}
) AS newest
"""
OLD_VERSIONS = f"""
SELECT ctid FROM overlay_versions
WHERE series_id = %(key)s AND version_id < %(first)s AND (
    until < %(cut)s
    OR (until = {NEVER} AND (starts IS NULL OR ends < %(window)s)
        AND NOT instruction_id = ANY(%(drawn)s))
) ORDER BY version_id
"""
OLD_POINTS = """
SELECT ctid FROM overlay_points
WHERE series_id = %(key)s AND version_id < %(first)s AND visible_time < %(window)s
ORDER BY version_id
"""


class Cut(NamedTuple):
    """Up to where candles go: those before `time`. `window` is where the longest window begins.

    `origin` is the candle behind which the ledgers can be computed again; None without ledgers.
    `drawn` are the drawings that may still change there.
    """

    time: int
    window: int
    origin: int | None = None
    drawn: Sequence[str] = ()


class Part(NamedTuple):
    """Rows of one table, and about how many bytes they take without their indexes."""

    rows: int
    size: int


TABLES = ("candles", "events", "heads", "versions", "points", "checkpoints")


@dataclass(frozen=True, slots=True)
class Removal:
    """Rows of the series with this key before a cut, on the cursor of an open transaction."""

    cursor: Any
    key: int
    cut: Cut

    def counted(self) -> dict[str, Part]:
        """What `remove` would delete in all, by table."""
        return {
            "candles": self._part("candles", "candle_time < %(cut)s"),
            "events": self._counted_events(),
            "heads": self._part_of("factor_heads", *self._old_heads()),
            "versions": self._part_of("overlay_versions", OLD_VERSIONS, self._drawn()),
            "points": self._part_of("overlay_points", OLD_POINTS, self._drawn()),
            "checkpoints": self._counted_checkpoints(),
        }

    def remove(self, most: int) -> dict[str, int]:
        """Delete at most about `most` rows, the oldest first; return how many by table.

        Candles go first, so what is read at a time that still has a candle is whole.
        """
        left, done = most, dict.fromkeys(TABLES, 0)
        for table, delete in (
            ("candles", self._remove_candles),
            ("events", self._remove_events),
            ("heads", self._remove_heads),
            ("versions", self._remove_versions),
            ("points", self._remove_points),
        ):
            if left > 0:
                done[table] = delete(left)
                left -= done[table]
        return done

    def remove_checkpoints(self) -> int:
        """Make the state at the origin the first one of both ledgers; return how many go."""
        removed = 0
        for table in ("factor_checkpoints", "overlay_checkpoints"):
            self._run(
                f"DELETE FROM {table} WHERE series_id = %(key)s AND candle_time < %(origin)s",
                {"origin": self.cut.origin},
            )
            removed += self.cursor.rowcount
            self._run(
                f"UPDATE {table} SET candle_count = 0"
                " WHERE series_id = %(key)s AND candle_time = %(origin)s",
                {"origin": self.cut.origin},
            )
        return removed

    def _remove_candles(self, most: int) -> int:
        self._run(
            "SELECT candle_time FROM candles WHERE series_id = %(key)s AND candle_time < %(cut)s"
            " ORDER BY candle_time OFFSET %(most)s LIMIT 1",
            {"most": most},
        )
        row = self.cursor.fetchone()
        # TimescaleDB decompresses whatever a bound that is a query might include.
        self._run(
            f"{UNLIMITED}; DELETE FROM candles WHERE series_id = %(key)s AND candle_time < %(end)s",
            {"end": self.cut.time if row is None else row[0]},
        )
        return int(self.cursor.rowcount)

    def _remove_events(self, most: int) -> int:
        """Delete the oldest events but those that others are packed behind."""
        self._run(
            "SELECT candle_time FROM factor_events WHERE series_id = %(key)s"
            " AND candle_time < %(window)s ORDER BY candle_time, id OFFSET %(most)s LIMIT 1",
            {"most": most + MOST_LEFT},
        )
        row = self.cursor.fetchone()
        end = self.cut.window if row is None else int(row[0]) + 1
        # Beside manage.py dense_ledger, which may be about to pack one of them behind another.
        self._run(
            "SELECT 1 FROM factor_events WHERE series_id = %(key)s AND candle_time < %(end)s"
            " FOR UPDATE",
            {"end": end},
        )
        kept = self._kept_events(end)
        self._run(
            "DELETE FROM factor_events WHERE series_id = %(key)s AND candle_time < %(end)s"
            " AND NOT id = ANY(%(kept)s)",
            {"end": end, "kept": sorted(kept)},
        )
        return int(self.cursor.rowcount)

    def _remove_heads(self, most: int) -> int:
        statement, values = self._old_heads()
        return self._delete("factor_heads", f"{statement} LIMIT {most}", values)

    def _remove_versions(self, most: int) -> int:
        return self._delete("overlay_versions", f"{OLD_VERSIONS} LIMIT {most}", self._drawn())

    def _remove_points(self, most: int) -> int:
        return self._delete("overlay_points", f"{OLD_POINTS} LIMIT {most}", self._drawn())

    def _kept_events(self, end: int) -> set[int]:
        """The numbers of events before `end` that stay: heads repeat them, or events follow them.

        A long event may be packed behind the one before, down to one that stands alone.
        """
        self.cursor.execute(REPEATED, (self.key, self.cut.time))
        repeated = [EventRow._make(row) for row in self.cursor.fetchall()]
        needed = [row for row in repeated if row.time < end]
        self.cursor.execute(LAST_OF_KIND, (self.key, end))
        for row in [EventRow._make(row) for row in self.cursor.fetchall()]:
            if _is_long(row):
                self.cursor.execute(NEXT_OF_KIND, (self.key, end, row.factor, row.kind))
                behind = self.cursor.fetchone()
                # A plain one may be packed behind it at any time; one that is yet to come as well.
                if behind is None or behind[0] is None or depth_of(behind[0]):
                    needed.append(row)
        return {number for row in needed for number in self._chain(row)}

    def _chain(self, row: EventRow) -> Iterator[int]:
        """The numbers of an event and of those that it is packed behind."""
        yield row.number
        if row.data is None or not depth_of(row.data):
            return
        place = (self.key, row.time, row.number, row.factor, row.kind)
        self.cursor.execute(f"{CHAIN} LIMIT {depth_of(row.data) + 1}", place)
        for each in map(EventRow._make, self.cursor.fetchall()):
            yield each.number
            if each.data is None or not depth_of(each.data):
                return

    def _counted_events(self) -> Part:
        kept = sorted(self._kept_events(self.cut.window))
        return self._part(
            "factor_events",
            "candle_time < %(window)s AND NOT id = ANY(%(kept)s)",
            {"kept": kept},
        )

    def _counted_checkpoints(self) -> Part:
        if self.cut.origin is None:
            return Part(0, 0)
        parts = [
            self._part(table, "candle_time < %(origin)s", {"origin": self.cut.origin})
            for table in ("factor_checkpoints", "overlay_checkpoints")
        ]
        return Part(sum(each.rows for each in parts), sum(each.size for each in parts))

    def _old_heads(self) -> tuple[str, tuple[Any, ...]]:
        return OLD_HEADS, (self.key, self.cut.time)

    def _drawn(self) -> dict[str, Any]:
        """The values of OLD_VERSIONS and OLD_POINTS."""
        self._run(FIRST_KEPT)
        first, count = self.cursor.fetchone()
        return {
            "key": self.key,
            "cut": self.cut.time,
            "window": self.cut.window,
            "drawn": list(self.cut.drawn),
            "first": first if count > FRESH_LIMIT else 0,
        }

    def _part(self, table: str, condition: str, values: dict[str, Any] | None = None) -> Part:
        self._run(
            "SELECT count(*), coalesce(sum(pg_column_size(stored.*)), 0)"
            f" FROM {table} AS stored WHERE series_id = %(key)s AND {condition}",
            values,
        )
        return Part(*map(int, self.cursor.fetchone()))

    def _part_of(self, table: str, statement: str, values: Any) -> Part:
        self.cursor.execute(
            "SELECT count(*), coalesce(sum(pg_column_size(stored.*)), 0)"
            f" FROM {table} AS stored WHERE ctid IN ({statement})",
            values,
        )
        return Part(*map(int, self.cursor.fetchone()))

    def _delete(self, table: str, statement: str, values: Any) -> int:
        self.cursor.execute(f"DELETE FROM {table} WHERE ctid = ANY(ARRAY({statement}))", values)
        return int(self.cursor.rowcount)

    def _run(self, statement: str, values: dict[str, Any] | None = None) -> None:
        given = {"key": self.key, "cut": self.cut.time, "window": self.cut.window}
        self.cursor.execute(statement, given | (values or {}))


def _is_long(row: EventRow) -> bool:
    """Whether another event may be packed behind this one."""
    if row.data is None:
        return len(text_of(row.key, row.payload)) >= LONG
    return depth_of(row.data) > 0 or len(unpacked(row.data, row.time)) >= LONG
