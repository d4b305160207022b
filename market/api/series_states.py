"""Heads and epochs for many concurrent reads by one query at a time.

A read may only use a query that began after the read arrived, or its head might be stale already.
So all reads that arrive while one query runs share the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Generic, Protocol, TypeVar

from market.domain.series import SeriesId

State = TypeVar("State")
State_co = TypeVar("State_co", covariant=True)


class StatesReader(Protocol[State_co]):
    """The source of the states of series, such as heads and epochs."""

    async def states(self, series: Iterable[SeriesId]) -> Mapping[SeriesId, State_co]:
        """The states of several series, of every one that is asked for, in one look-up."""

    def close(self) -> None:
        """Free its connection."""


class SeriesStates(Generic[State]):
    """Combines look-ups; belongs to one event loop."""

    def __init__(self, reader: StatesReader[State]) -> None:
        self._reader = reader
        # One future per reader: one that is cancelled must not take the answer from the others.
        self._waiting: dict[SeriesId, list[asyncio.Future[State]]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def state(self, series: SeriesId) -> State:
        """The state as it is now; raises what the store raises."""
        answer: asyncio.Future[State] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(series, []).append(answer)
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_while_awaited())
        return await answer

    async def _read_while_awaited(self) -> None:
        try:
            while self._waiting:
                # Requests that have arrived by now join; it halves the queries under load.
                await asyncio.sleep(0)
                asked, self._waiting = self._waiting, {}
                await self._answer(asked)
        finally:
            self._reading = None

    async def _answer(self, asked: dict[SeriesId, list[asyncio.Future[State]]]) -> None:
        try:
            states = await self._reader.states(list(asked))
            found = [states[series] for series in asked]
        except Exception as error:
            for answer in chain.from_iterable(asked.values()):
                if not answer.done():
                    answer.set_exception(error)
            return
        for state, answers in zip(found, asked.values(), strict=True):
            for answer in answers:
                if not answer.done():
                    answer.set_result(state)
