"""Entries of the gap ledger as rows of the table `gaps`.

The release before knows four states. A row has the nearest of them in `state`, so that both can
work on one table, and in `missing` why the candles are missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache, reduce
from operator import or_
from typing import Any

from django.db.models import Q

from market.domain.series import SeriesId
from market.ingest.gap_ranges import Evidence, GapEntry, GapState
from market.models import REASON_LENGTH, GapRecord, Series

_OPEN, _ABSENT = GapRecord.State.OPEN.value, GapRecord.State.ABSENT.value
_COLUMNS: dict[GapState, tuple[str, str]] = {
    GapState.OPEN: (_OPEN, ""),
    GapState.REPAIRING: (GapRecord.State.REPAIRING.value, ""),
    GapState.REPAIRED: (GapRecord.State.FILLED.value, ""),
    GapState.QUIET: (_ABSENT, GapState.QUIET.value),
    GapState.UNSERVED: (_ABSENT, GapState.UNSERVED.value),
    GapState.UNANSWERED: (_OPEN, GapState.UNANSWERED.value),
    GapState.DROPPED: (_OPEN, GapState.DROPPED.value),
}
_STATES = {columns: state for state, columns in _COLUMNS.items()}
# Of rows that the release before wrote: what an answer lacked is absent, without any evidence.
_STATES_BY_NAME = {
    _OPEN: GapState.OPEN,
    GapRecord.State.REPAIRING.value: GapState.REPAIRING,
    GapRecord.State.FILLED.value: GapState.REPAIRED,
    _ABSENT: GapState.UNANSWERED,
}


# Thousands of rows are of few series.
_series_of = lru_cache(maxsize=1_024)(SeriesId.parse)


def state_of(row: GapRecord) -> GapState:
    """The state of a row."""
    return _STATES.get((row.state, row.missing), _STATES_BY_NAME[row.state])


def in_states(states: Iterable[GapState], *, prefix: str = "") -> Q:
    """The rows that have one of the states; `prefix` leads to them from another table."""
    found: list[Q] = []
    for state in states:
        name, missing = _COLUMNS[state]
        if missing:
            found.append(Q(**{f"{prefix}state": name, f"{prefix}missing": missing}))
        for other, meaning in _STATES_BY_NAME.items():
            if meaning is state:
                known = [missing for at, missing in _STATES if at == other and missing]
                unknown = ~Q(**{f"{prefix}missing__in": known})
                found.append(Q(**{f"{prefix}state": other}) & unknown)
    return reduce(or_, found, Q()) if found else Q(pk__in=[])


def columns_of(state: GapState) -> dict[str, str]:
    """The columns that hold a state."""
    name, missing = _COLUMNS[state]
    return {"state": name, "missing": missing}


def entry_of(row: GapRecord) -> GapEntry:
    """The entry of a row, which was read with its series."""
    known: dict[str, Any] | None = row.evidence
    evidence = None
    if known is not None:
        bars = known.get("bars")
        evidence = Evidence(
            asked=(known["asked"][0], known["asked"][1]),
            bars=None if bars is None else (bars[0], bars[1]),
        )
    return GapEntry(
        series=_series_of(row.series.name),
        from_time=row.from_time,
        to_time=row.to_time,
        reason=row.reason,
        state=state_of(row),
        rows=row.refused_rows,
        evidence=evidence,
        attempts=row.attempts,
        next_attempt_at=None if row.next_attempt_at is None else row.next_attempt_at.timestamp(),
        noticed_at=row.detected_at.timestamp(),
        updated_at=row.updated_at.timestamp(),
    )


def row_of(series: Series, entry: GapEntry) -> GapRecord:
    """A new row for an entry."""
    evidence = None
    if entry.evidence is not None:
        evidence = {"asked": entry.evidence.asked, "bars": entry.evidence.bars}
    return GapRecord(
        series=series,
        from_time=entry.from_time,
        to_time=entry.to_time,
        reason=entry.reason[:REASON_LENGTH],
        **columns_of(entry.state),
        refused_rows=entry.rows,
        evidence=evidence,
        attempts=entry.attempts,
        next_attempt_at=None if entry.next_attempt_at is None else moment_of(entry.next_attempt_at),
        detected_at=moment_of(entry.noticed_at),
        updated_at=moment_of(entry.updated_at),
    )


def moment_of(unix_seconds: float) -> datetime:
    """A time as the database has it."""
    return datetime.fromtimestamp(unix_seconds, UTC)
