"""What is due next for one followed series. Pure: times come in, one action comes out.

Each action has a time from which it is due. The first one whose time has come is done; when there
is none, the series waits until the earliest of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from market.domain.timeframe import Timeframe
from market.ingest.held import Held

NEVER = math.inf
SHORTEST_WAIT_S = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowLimits:
    """How following is paced; times in seconds.

    A new series is given `new_series_candles` of history, the newest page first; an older one must
    reach back `sync_candles` as well (0: it only goes on from its head). After a disturbance, and
    every `recheck_s`, the newest `recheck_candles` are read again for late corrections.
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
    # Reads that may fail to fill the hole before a held candle until it is skipped.
    hole_reads: int = 6
    held_max: int = 5_000
    # The longest pause between two attempts while the database is unavailable.
    store_pause_s: float = 2.0
    tick_s: float = 1.0
    refused_s: float = 300.0


class Action(Enum):
    """What following a series does next; the first that is due comes first."""

    LEARN_HEAD = auto()
    """Ask the store for the series' head."""
    STORE = auto()
    """Store the held candles that join the head."""
    SHOW_FORMING = auto()
    """Publish the forming candle."""
    READ = auto()
    """Read REST from the head on: for a hole, a late candle, or corrections."""
    SKIP_HOLE = auto()
    """Note a hole that REST does not fill as open, and go on behind it."""
    EXTEND = auto()
    """Fetch older history, once: for a new series, and as far as the start-up sync asks."""
    WAIT = auto()
    """Wait for an event, or for `Step.wait_s`."""


class Step(NamedTuple):
    """The next action; `wait_s` is how long to WAIT at most."""

    action: Action
    wait_s: float = 0.0


class Due:
    """Decides for one series; all times (`now`) are monotonic seconds."""

    def __init__(self, timeframe: Timeframe, limits: FollowLimits) -> None:
        self.knows_head = False
        # Whether history was read up to the present since following began.
        self.has_joined = False
        self._timeframe = timeframe
        self._limits = limits
        self._is_extended = False
        # Corrections are looked for at once after a disturbance, and at `_recheck_at`.
        self._recheck = True
        self._recheck_at = 0.0
        self._is_interrupted = False
        self._stream_spoke = False
        # No read before the first two, no write before the last: the pause after a useless read,
        # after a failure, and after a failure of our own.
        self._read_at = self._rest_at = self._store_at = 0.0
        self._flushed_at = -NEVER
        self._useless_reads = 0
        self._hole_reads = 0

    def next(
        self,
        now: float,
        held: Held,
        *,
        forming_time: int,
        forming_wait_s: float,
        exchange_now: float | None,
    ) -> Step:
        """The action that is due now.

        `forming_time` is the open time of the latest unpublished forming candle (-1: none), which
        may be published in `forming_wait_s` seconds. `exchange_now` is the exchange's clock (Unix
        seconds), None while it is unknown.
        """
        if not self.knows_head:
            due = {Action.LEARN_HEAD: self._store_at}
        else:
            due = {
                Action.STORE: self._store_due(held),
                Action.SHOW_FORMING: (
                    now + forming_wait_s if forming_time == held.expected else NEVER
                ),
                Action.READ: self._read_due(now, held, forming_time, exchange_now),
                Action.SKIP_HOLE: self._skip_due(held),
                Action.EXTEND: self._extend_due(held),
            }
        for action, at in due.items():
            if at <= now:
                return Step(action)
        return Step(Action.WAIT, max(SHORTEST_WAIT_S, min(due.values()) - now))

    def _store_due(self, held: Held) -> float:
        batch = held.joining() if self.has_joined else []
        if not batch:
            return NEVER
        if len(batch) >= self._limits.batch_max:
            return self._store_at
        return max(self._store_at, self._flushed_at + self._limits.flush_s)

    def _read_due(
        self, now: float, held: Held, forming_time: int, exchange_now: float | None
    ) -> float:
        allowed = max(self._read_at, self._rest_at, self._store_at)
        if self._recheck:
            return allowed
        late_at = now + self._late_in(held, forming_time, exchange_now)
        return max(allowed, min(self._recheck_at, late_at))

    def _late_in(self, held: Held, forming_time: int, exchange_now: float | None) -> float:
        """Seconds until the expected candle is late; at most 0 once a later one was seen."""
        expected = held.expected
        if expected is None:
            return 0.0
        if expected in held:
            # It only waits to be stored together with others.
            return self._limits.overdue_s
        if max(held.newest, forming_time) > expected:
            return 0.0
        if exchange_now is None:
            return NEVER
        return expected + self._timeframe.seconds + self._limits.overdue_s - exchange_now

    def _skip_due(self, held: Held) -> float:
        is_stuck = self._hole_reads >= self._limits.hole_reads and held.behind_hole()
        return self._store_at if is_stuck else NEVER

    def _extend_due(self, held: Held) -> float:
        must = self.has_joined and not self._is_extended and held.head is not None
        return max(self._rest_at, self._store_at) if must else NEVER

    # What happened

    def stream_spoke(self) -> bool:
        """The stream sent something; True when that ends an interruption.

        Then the exchange is back for REST too. At its first message after it was opened,
        corrections are looked for: those made before it was open were not streamed.
        """
        ends_interruption = self._is_interrupted
        if ends_interruption:
            self._is_interrupted, self._rest_at = False, 0.0
        if not self._stream_spoke:
            self._stream_spoke = self._recheck = True
        return ends_interruption

    def interrupted(self) -> None:
        """The stream may have lost something: read again at once."""
        self._is_interrupted, self._stream_spoke = True, False
        self.candles_dropped()

    def candles_dropped(self) -> None:
        """Held candles were dropped: read them again at once."""
        self._recheck = True
        self._read_at = 0.0

    def store_begins(self, now: float) -> None:
        """A batch is about to be stored; the next small one waits for more candles."""
        self._flushed_at = now

    def read_begins(self) -> None:
        """A read starts. A disturbance from here on makes another one due."""
        self._recheck = False

    def read_ended(
        self, now: float, held: Held, *, is_useful: bool, read_to: int, exchange_now: float
    ) -> None:
        """A read up to the open time `read_to` ended; it `is_useful` when it stored something or
        moved the head.

        Useless reads are repeated ever more slowly, for a quiet market. One that ended before the
        expected candle, as that had not closed yet, shows nothing of the market: the next may come
        when it closes, by the exchange's clock (`exchange_now`, Unix seconds).
        """
        self.has_joined = True
        self._recheck_at = now + self._limits.recheck_s
        expected, closes_in_s = held.expected, NEVER
        if expected is not None and read_to < expected:
            closes_in_s = max(0.0, expected + self._timeframe.seconds - exchange_now)
        if is_useful:
            self._useless_reads = 0
        elif closes_in_s == NEVER:
            self._useless_reads += 1
        self._hole_reads += held.behind_hole() is not None
        pause = 0.0
        if not is_useful and not self._recheck:
            doubled = self._limits.overdue_s / 4 * 2.0 ** max(1, min(self._useless_reads, 16))
            pause = min(self._limits.longest_overdue_s, doubled, closes_in_s)
        self._read_at = now + pause

    def head_moved(self) -> None:
        """Something was stored behind the former head."""
        self._useless_reads = self._hole_reads = 0

    def extended(self) -> None:
        """The series reaches back as far as it must."""
        self._is_extended = True

    def failed(self, now: float, pause_s: float, *, is_ours: bool) -> None:
        """An action failed: no read for `pause_s` seconds, and then one from the stored head.

        Only a failure of our own (`is_ours`, not the exchange's) stops writing as well.
        """
        self._recheck = True
        self._rest_at = now + pause_s
        if is_ours:
            self._store_at = self._rest_at
            self.knows_head = False
