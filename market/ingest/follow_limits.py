"""How following a series is paced."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowLimits:
    """How following is paced; times in seconds.

    A new series is given `new_series_candles` of history; `sync_candles` is what an older one must
    reach back to as well (0: nothing more than from its head on). After a disturbance, and every
    `recheck_s`, the newest `recheck_candles` are read again for late corrections.
    """

    new_series_candles: int = 500
    sync_candles: int = 0
    batch_max: int = 200
    flush_s: float = 0.5
    forming_interval_s: float = 0.25
    recheck_candles: int = 5
    recheck_s: float = 300.0
    # After the end of a candle that is still missing, and between two reads that bring nothing.
    overdue_s: float = 3.0
    longest_overdue_s: float = 60.0
    # Reads that may fail to reach a held candle before the hole in front of it is left open.
    hole_reads: int = 6
    held_max: int = 5_000
    # The longest pause between two attempts while the store is away for everybody.
    store_pause_s: float = 2.0
    tick_s: float = 1.0
    refused_s: float = 300.0
