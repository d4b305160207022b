"""What is due next for a followed series; pure, without Django."""

from __future__ import annotations

import pytest

from market.domain.candle import Candle
from market.domain.timeframe import Timeframe
from market.ingest.due import Action, Due, FollowLimits, Step
from market.ingest.held import Held

MINUTE = Timeframe.parse("1m")
LIMITS = FollowLimits(
    batch_max=3,
    flush_s=1.0,
    overdue_s=4.0,
    longest_overdue_s=6.0,
    recheck_s=300.0,
    hole_reads=2,
    held_max=10,
)
NOW = 1000.0
# The minute that joins the head of `Case` opens here, by the exchange's clock.
EXPECTED = 360


class Case:
    """A series with its head at minute 5, as it stands after a read that ended at NOW."""

    def __init__(self, *waiting, limits=LIMITS, after_read=True):
        self.held = Held(MINUTE, most=limits.held_max)
        self.held.head = 300
        self.due = Due(MINUTE, limits)
        self.due.knows_head = True
        if not limits.sync_candles:
            self.due.extended()
        if after_read:
            self.read()
            self.due.stream_spoke()
            self.read()
        for minute in waiting:
            self.held.add(Candle(minute * 60, 1.0, 9.0, 0.5, 1.0, 1.0))

    def read(self, *, is_useful=True, now=NOW, read_to=EXPECTED, exchange_now=EXPECTED + 60.0):
        self.due.read_begins()
        self.due.read_ended(
            now, self.held, is_useful=is_useful, read_to=read_to, exchange_now=exchange_now
        )

    def next(self, now=NOW, *, forming_time=-1, forming_wait_s=0.0, exchange_now=EXPECTED):
        return self.due.next(
            now,
            self.held,
            forming_time=forming_time,
            forming_wait_s=forming_wait_s,
            exchange_now=exchange_now,
        )


def waits(seconds):
    return Step(Action.WAIT, pytest.approx(seconds))


STORE, READ = Step(Action.STORE), Step(Action.READ)


def test_head_is_learned_before_anything_else():
    case = Case(6)
    case.due.knows_head = False
    assert case.next() == Step(Action.LEARN_HEAD)


def test_history_is_read_before_a_waiting_candle_is_stored():
    assert Case(6, after_read=False).next() == READ


@pytest.mark.parametrize(
    ("exchange_now", "step"),
    [
        # The candle ends a minute after EXPECTED, and is late four seconds after that.
        (EXPECTED, waits(64)),
        (EXPECTED + 63, waits(1)),
        (EXPECTED + 64, READ),
        (EXPECTED + 900, READ),
        # Without the exchange's clock only the regular check is left.
        (None, waits(300)),
    ],
)
def test_late_candle_is_read(exchange_now, step):
    assert Case().next(exchange_now=exchange_now) == step


@pytest.mark.parametrize(
    ("waiting", "forming_minute", "step"),
    [
        ([7], -1, READ),
        ([], 7, READ),
        ([], 6, Step(Action.SHOW_FORMING)),
        ([], 5, waits(64)),
        ([6], 7, STORE),
        ([3], -1, STORE),
    ],
)
def test_hole_shows_by_a_later_candle(waiting, forming_minute, step):
    case = Case(*waiting)
    assert case.next(forming_time=forming_minute * 60) == step


def test_series_without_a_head_is_read_until_it_has_one():
    case = Case()
    case.held.head = None
    assert case.next() == READ


def test_small_batch_waits_for_more_and_a_full_one_does_not():
    case = Case(6)
    case.due.store_begins(NOW - 0.25)
    assert case.next() == waits(0.75)
    assert case.next(NOW + 0.75) == STORE
    for minute in (7, 8):
        case.held.add(Candle(minute * 60, 1.0, 9.0, 0.5, 1.0, 1.0))
    assert case.next() == STORE


def test_forming_candle_waits_for_its_interval():
    assert Case().next(forming_time=EXPECTED, forming_wait_s=0.2) == waits(0.2)


def test_corrections_are_looked_for_at_intervals():
    case = Case()
    assert case.next(NOW + 299.5, exchange_now=EXPECTED) == waits(0.5)
    assert case.next(NOW + 300, exchange_now=EXPECTED) == READ


@pytest.mark.parametrize(
    "disturb",
    [
        Due.interrupted,
        Due.candles_dropped,
        lambda due: (due.interrupted(), due.read_begins(), due.stream_spoke()),
    ],
)
def test_disturbance_is_followed_by_a_read(disturb):
    case = Case()
    disturb(case.due)
    assert case.next() == READ


def test_disturbance_during_a_read_makes_another_one_due_at_once():
    case = Case()
    case.due.read_begins()
    case.due.interrupted()
    case.due.read_ended(
        NOW, case.held, is_useful=False, read_to=EXPECTED, exchange_now=EXPECTED + 60.0
    )
    assert case.next() == READ


def test_further_message_of_the_stream_makes_nothing_due():
    case = Case()
    assert not case.due.stream_spoke()
    assert case.next() == waits(64)


@pytest.mark.parametrize(("reads", "pause"), [(1, 2), (2, 4), (3, 6), (30, 6)])
def test_quiet_market_is_read_ever_more_slowly(reads, pause):
    case = Case()
    for _ in range(reads):
        case.read(is_useful=False)
    late = EXPECTED + 900
    assert case.next(exchange_now=late) == waits(pause)
    assert case.next(NOW + pause, exchange_now=late) == READ


@pytest.mark.parametrize(("closes_in", "pause"), [(0.25, 0.25), (60.0, 2.0), (-0.5, 0.0)])
def test_read_before_the_expected_candle_closed_is_repeated_when_it_closes(closes_in, pause):
    case = Case()
    for _ in range(5):
        case.read(is_useful=False, read_to=EXPECTED - 60, exchange_now=EXPECTED + 60.0 - closes_in)
    # The stream is ahead of the exchange's clock.
    step = case.next(forming_time=EXPECTED + 60)
    assert step == (waits(pause) if pause else READ)
    # And the market is not taken for a quiet one.
    case.read(is_useful=False)
    assert case.next(forming_time=EXPECTED + 60) == waits(2)


def test_hole_that_reads_do_not_fill_is_skipped():
    case = Case(8)
    case.read(is_useful=False)
    assert case.next() == waits(2)
    case.read(is_useful=False)
    assert case.next() == Step(Action.SKIP_HOLE)
    case.due.head_moved()
    assert case.next() == waits(4)


def test_failure_of_the_exchange_pauses_reads_and_not_writes():
    case = Case(8)
    case.due.failed(NOW, 5.0, is_ours=False)
    assert case.next() == waits(5)
    case.held.add(Candle(EXPECTED, 1.0, 9.0, 0.5, 1.0, 1.0))
    assert case.next() == STORE
    assert case.next(NOW + 5) == STORE


def test_failure_of_our_own_pauses_everything_and_then_learns_the_head():
    case = Case(6)
    case.due.failed(NOW, 5.0, is_ours=True)
    assert case.next() == waits(5)
    assert case.next(NOW + 5) == Step(Action.LEARN_HEAD)
    case.due.knows_head = True
    assert case.next(NOW + 4.5) == waits(0.5)


def test_failure_is_followed_by_a_read_from_the_head():
    case = Case()
    case.due.failed(NOW, 5.0, is_ours=False)
    assert case.next(NOW + 5) == READ


def test_stream_that_is_back_ends_the_pause_for_reads():
    case = Case()
    case.due.interrupted()
    case.due.failed(NOW, 60.0, is_ours=False)
    assert case.next() == waits(60)
    assert case.due.stream_spoke()
    assert case.next() == READ


def test_older_history_is_fetched_once_after_the_first_read():
    case = Case(limits=FollowLimits(sync_candles=50), after_read=False)
    assert case.next() == READ
    case.read()
    assert case.next() == Step(Action.EXTEND)
    case.due.extended()
    assert case.next().action is Action.WAIT
