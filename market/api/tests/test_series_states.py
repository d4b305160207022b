"""Many reads, one look-up at a time."""

from __future__ import annotations

import asyncio

import pytest

from market.api.series_states import SeriesStates
from market.domain.store import EMPTY, SeriesState
from market.tests.builders import MINUTE

OTHER = MINUTE.with_timeframe(MINUTE.timeframe.parse("5m"))


class Store:
    """Answers each look-up when the gate opens, with the head as it was when the look-up began."""

    def __init__(self):
        self.head = 60
        self.asked = []
        self.gate = asyncio.Semaphore(0)
        self.begun = asyncio.Semaphore(0)

    async def states(self, series):
        self.asked.append(list(series))
        state = SeriesState(self.head, 0)
        self.begun.release()
        await self.gate.acquire()
        return {MINUTE: state, OTHER: EMPTY}


class Failing:
    """A store that is down."""

    async def states(self, series):
        raise OSError("down")


async def test_reads_during_a_look_up_share_the_next_one():
    store = Store()
    states = SeriesStates(store)
    first = asyncio.create_task(states.state(MINUTE))
    await store.begun.acquire()
    store.head = 120
    later = [asyncio.create_task(states.state(MINUTE)) for _ in range(50)]
    await asyncio.sleep(0)
    store.gate.release()
    assert (await first).head == 60
    store.gate.release()
    # A read that came after the first look-up began must not get its answer.
    assert {state.head for state in await asyncio.gather(*later)} == {120}
    assert store.asked == [[MINUTE], [MINUTE]]


async def test_several_series_go_into_one_look_up():
    store = Store()
    states = SeriesStates(store)
    store.gate.release()
    found = await asyncio.gather(states.state(MINUTE), states.state(OTHER))
    assert found == [SeriesState(60, 0), EMPTY]
    assert store.asked == [[MINUTE, OTHER]]


async def test_cancelled_reader_does_not_affect_the_others():
    store = Store()
    states = SeriesStates(store)
    gone = asyncio.create_task(states.state(MINUTE))
    remaining = asyncio.create_task(states.state(MINUTE))
    await store.begun.acquire()
    gone.cancel()
    store.gate.release()
    assert (await remaining).head == 60


async def test_failure_reaches_every_reader_and_the_next_look_up_works():
    states = SeriesStates(Failing())
    outcomes = await asyncio.gather(
        states.state(MINUTE), states.state(MINUTE), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [OSError, OSError]
    with pytest.raises(OSError, match="down"):
        await states.state(MINUTE)
