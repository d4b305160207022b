"""What commands that ask an exchange print about missing candles, and how they end."""

from __future__ import annotations

import os
from collections.abc import Sequence

from django.core.management.base import CommandError

from market.domain.feed import FeedError, FeedRefused
from market.exchanges.answers import RequestRefused
from market.ingest.breaker import is_store_away
from market.ingest.gap_ranges import GapEntry, GapState
from market.management.arguments import shown
from market.pipeline import SeriesDerived

UNSERVED = "unserved"
WAYS_LEFT = "use import_candles or backfill --from-trades"


def failed(error: Exception) -> CommandError:
    """The end of a command that an error ended; it advises to repeat what a repetition can help."""
    if isinstance(error, FeedRefused):
        return CommandError(f"{error.code}: {error}")
    if isinstance(error, RequestRefused):
        return CommandError(f"request_refused: {error}")
    if isinstance(error, FeedError):
        code = "exchange_unavailable"
        return CommandError(
            f"{code}: {error}; run it again to resume", returncode=os.EX_UNAVAILABLE
        )
    if isinstance(error, SeriesDerived):
        return CommandError(str(error))
    status = os.EX_UNAVAILABLE if is_store_away(error) else 1
    return CommandError(f"{error}; run it again to resume", returncode=status)


def unserved(reason: str, candles: int) -> CommandError:
    """The end of a command that was refused candles for good."""
    count = f"{candles:,} candles: " if candles else ""
    return CommandError(f"{UNSERVED}: {count}{reason}; {WAYS_LEFT}")


def shown_entry(entry: GapEntry) -> str:
    """An entry of the gap ledger, after its times."""
    text = f"{entry.state}: {entry.reason}"
    if entry.rows:
        text += f" ({entry.rows:,} rows)"
    if entry.evidence is not None and entry.evidence.bars is not None:
        before, after = entry.evidence.bars
        text += f"; candles at {shown(before)} and {shown(after)} in one answer"
    if entry.next_attempt_at is not None:
        text += f"; attempt {entry.attempts + 1} at {shown(int(entry.next_attempt_at))}"
    elif entry.state is GapState.UNSERVED:
        text += f"; {WAYS_LEFT}"
    elif entry.attempts and entry.state is not GapState.REPAIRED:
        text += f"; no further attempt after {entry.attempts}"
    return text


def counts_by_state(entries: Sequence[GapEntry]) -> dict[GapState, int]:
    """How many candles are missing for each reason, in the order of the states."""
    counts = {
        state: sum(entry.missing_candles for entry in entries if entry.state is state)
        for state in GapState
    }
    return {state: count for state, count in counts.items() if count}
