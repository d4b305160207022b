"""The rows of the table `series` as the store reads them: heads, epochs, generation and fences.

Every statement reads the generation with what it is there for, so that it costs no round trip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from market.domain.series import SeriesId
from market.domain.store import Fence, SeriesState, StaleFence

# The first statement waits for another writer; the second sees what that writer committed. It has
# no row for an unknown series: planning a join that has one takes half as long as the candle's
# write.
LOCK_AND_READ = """
SELECT pg_advisory_xact_lock(hashtextextended(%s, 0));
SELECT id, head_time, epoch, fence, store_generation(), is_derived FROM series WHERE name = %s
"""
GENERATION = "SELECT store_generation()"

# The same without an answer, for a writer that knows the row: divides by zero if it is another. A
# migration makes the function.
LOCK_AS = "SELECT lock_series_as(%s, %s, %s, %s, %s, %s);"

# The same for many series, without waiting: those whose lock is held are left out.
TRY_LOCKS = """
SELECT name FROM unnest(%s) AS name WHERE pg_try_advisory_xact_lock(hashtextextended(name, 0))
"""
READ_LOCKED = """
SELECT given, id, head_time, epoch, fence, generation, is_derived
FROM store_generation() AS generation, unnest(%s) AS given LEFT JOIN series ON name = given
"""

# One row without a series if none of them is known. A migration makes the function.
STATES = """
SELECT name, head_time, epoch, generation
FROM store_generation() AS generation LEFT JOIN series ON name = ANY(%s)
"""

# The same for one series, and no row if it is unknown. Nearly every read asks for one, and planning
# the join takes PostgreSQL as long as this whole statement.
STATE = "SELECT name, head_time, epoch, store_generation() FROM series WHERE name = %s"

# A series without candles has no row to keep the token in. The transaction's number is greater than
# that of every transaction before it that held the series' lock.
NEXT_FENCE = """
WITH drawn AS (
    UPDATE series SET fence = greatest(fence + 1, txid_current()) WHERE name = %s RETURNING fence
)
SELECT coalesce((SELECT fence FROM drawn), txid_current())
"""


CREATE = """
INSERT INTO series (name, fence, is_derived)
SELECT given.name, given.fence, coalesce(is_held, false)
FROM unnest(%s, %s::bigint[]) AS given (name, fence) LEFT JOIN derived_series USING (name)
RETURNING name, id, is_derived
"""

# Whoever draws a token can try again, and has other series to see to: it must not wait as long as a
# writer does (TRADE_CANVAS_POSTGRES_LOCK_TIMEOUT_S).
BRIEFLY = "SET LOCAL lock_timeout = '500ms'"


class SeriesRow(NamedTuple):
    """A series' row, without a key while it has no candle."""

    key: int | None
    state: SeriesState
    fence: Fence
    is_derived: bool


def states_in(
    rows: Sequence[tuple[Any, ...]], asked: Mapping[str, SeriesId]
) -> dict[SeriesId, SeriesState]:
    """The states in the rows of STATES, of every series that was asked for by its name."""
    states = dict.fromkeys(asked.values(), SeriesState(None, 0, rows[0][3]))
    for name, head, epoch, generation in rows:
        if name is not None:
            states[asked[name]] = SeriesState(head, epoch, generation)
    return states


def lock_series(cursor: Any, series: SeriesId, *, begin: str = "") -> SeriesRow:
    """Wait for the series' lock; return its row. `begin` is sent in front."""
    name = str(series)
    cursor.execute(begin + LOCK_AND_READ, (name, name))
    if (row := cursor.fetchone()) is None:
        cursor.execute(GENERATION)
        generation = cursor.fetchone()[0]
        return SeriesRow(None, SeriesState(None, 0, generation), Fence(0, generation), False)
    key, head, epoch, fence, generation, is_derived = row
    return SeriesRow(
        key, SeriesState(head, epoch, generation), Fence(fence, generation), is_derived
    )


def locking(cursor: Any, series: SeriesId, row: SeriesRow, *, begin: str) -> bytes:
    """The statements that lock a series and fail unless its row is `row`, behind `begin`."""
    (head, epoch, generation), fence = row.state, row.fence.number
    values = (str(series), row.key, head, epoch, fence, generation)
    text: bytes = cursor.mogrify(begin + LOCK_AS, values)
    return text


def lock_free_series(
    cursor: Any, series: Sequence[SeriesId], *, begin: str = ""
) -> dict[SeriesId, SeriesRow]:
    """Lock those whose lock is free; return their rows, in the order of `series`.

    `begin` is sent in front.
    """
    asked = {str(each): each for each in series}
    cursor.execute(begin + TRY_LOCKS, (list(asked),))
    names = [name for (name,) in cursor.fetchall()]
    # A statement of its own: it sees what the last holders of the locks committed.
    cursor.execute(READ_LOCKED, (names,))
    rows = {
        asked[name]: SeriesRow(
            key,
            SeriesState(head, epoch or 0, generation),
            Fence(fence or 0, generation),
            bool(is_derived),
        )
        for name, key, head, epoch, fence, generation, is_derived in cursor.fetchall()
    }
    # The server joins in any order.
    return {each: rows[each] for each in series if each in rows}


def raise_fence(cursor: Any, series: SeriesId, row: SeriesRow, fence: Fence) -> None:
    """Record a token that was drawn before the series had a row; StaleFence for an older one."""
    if fence.generation != row.fence.generation or fence < row.fence:
        raise StaleFence(str(series))
    if row.key is not None:
        cursor.execute("UPDATE series SET fence = %s WHERE id = %s", (fence.number, row.key))


def create_rows(cursor: Any, series: Sequence[tuple[SeriesId, int]]) -> list[tuple[str, int, bool]]:
    """Create the rows of locked series, each with its fence.

    Returns names, keys, and whether the series are derived: that was recorded without a row.
    """
    cursor.execute(CREATE, ([str(each) for each, _ in series], [fence for _, fence in series]))
    return list(cursor.fetchall())
