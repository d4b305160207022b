"""One read of history: which window to ask for next, and what each answer proves.

Nothing is taken for granted. An empty answer moves on by the window that its request really asked
for; where an answer begins too late the part before is asked for again; and what is missing is
quiet only between two candles of one answer.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import ccxt

from market.domain.candle import Candle
from market.domain.feed import FeedError, FeedRefused, HistoryPage, Hole, Missing, RateLimited
from market.domain.series import SeriesId
from market.domain.timeframe import Timeframe, followable_named
from market.exchanges.answers import Answer, RequestRefused, UnreadableAnswer, ask, holes_of
from market.exchanges.refused_rows import refused_rows

# Unreadable answers in a row after which the exchange counts as out of order.
MOST_UNREADABLE = 3
# Answers without candles, between two with some, that are asked for once more.
MOST_DOUBTS = 2
# Requests beside the normal ones between two pages with candles.
MOST_EXTRA = 12
# An answer with fewer candles than this is no sign of the size of a page.
SMALLEST_PAGE = 10
# The request by which the edge of what is served is searched.
PROBE = 2
# How far the edge moves between two reads, in candles, before it is searched from scratch.
EDGE_MOVES = 16

ONLY_NEWEST = "only the newest candles are served"

Reason = tuple[Missing, str]
UNANSWERED: Reason = (Missing.UNANSWERED, "")


@dataclass(slots=True)
class Learned:
    """What the reads of one exchange object found out about it."""

    # Whether requests need ccxt's `until` to ask for anything but the newest candles.
    needs_until: bool | None = None
    # How many candles back a timeframe is served, by its text.
    served: dict[str, int] = field(default_factory=dict)


class HistoryRead:
    """Reads closed candles of one series, once."""

    def __init__(
        self,
        exchange: Any,
        series: SeriesId,
        name: str,
        *,
        closed: int,
        size: int,
        learned: Learned,
    ) -> None:
        self._exchange = exchange
        self._series = series
        self._name = name
        self._timeframe = series.timeframe
        self._step = series.timeframe.seconds
        self._closed = closed
        self._size = size
        self._learned = learned
        self._cursor = self._end = 0
        # Nothing older is served.
        self._floor = 0
        # The newest candle seen before the cursor, and the first candle of a hole before it.
        self._left: int | None = None
        self._hole_from: int | None = None
        # Ask from the cursor on, not from the candle before.
        self._is_at_start = False
        self._extra = MOST_EXTRA
        self._doubts = MOST_DOUBTS
        self._unreadable = 0
        self._was_read = False

    async def pages(self, start: int, end: int) -> AsyncIterator[HistoryPage]:
        """One page for each answer between two open times, inclusive; raises FeedError."""
        self._cursor = -(-(max(0, start) - self._timeframe.offset) // self._step) * self._step
        self._cursor = max(0, self._cursor + self._timeframe.offset)
        self._end = min(end, self._closed)
        problem = ""
        while self._cursor <= self._end:
            since, limit = self._window()
            try:
                answer = await self._asked(since, limit)
            except RequestRefused as refusal:
                page = await self._refused(refusal, since, limit)
            else:
                problem = answer.problem
                page = await self._page(answer, limit)
            if page is not None:
                yield page
            if self._unreadable >= MOST_UNREADABLE:
                raise UnreadableAnswer(f"{self._series}: {problem}")
        if problem and not self._was_read:
            raise UnreadableAnswer(f"{self._series}: {problem}")

    async def newest(self, count: int) -> list[Candle]:
        """The newest `count` closed candles and the open one, ascending; raises FeedError."""
        since = max(0, self._closed - (count - 1) * self._step)
        # From one before: where a window is counted back from an end, the first may be left out.
        answer = await self._newest_from(max(0, since - self._step), count)
        candles, last = answer.candles, answer.window.last
        if last is not None and last < self._closed:
            # A request for one day, and the next has begun.
            candles = candles + (await self._newest_from(last + self._step, count)).candles
        return [one for one in candles if one.candle_time >= since]

    async def _newest_from(self, since: int, count: int) -> Answer:
        answer = await self._ask(since, count + 3)
        self._note(answer)
        if answer.problem:
            raise UnreadableAnswer(f"{self._series}: {answer.problem}")
        return answer

    # Requests

    def _window(self) -> tuple[int, int]:
        """Since and limit of the next request: a candle more than needed on both sides."""
        before = 0 if self._is_at_start else self._step
        since = max(self._floor, self._cursor - before)
        if self._learned.needs_until is False:
            # The count goes back from the present, whatever `since` is.
            return since, self._size
        return since, min(self._size, (self._end - self._cursor) // self._step + 3)

    async def _asked(self, since: int, limit: int) -> Answer:
        """The answer for a window; one without candles is asked for once more."""
        answer = await self._ask(since, limit)
        is_empty = not (answer.candles or answer.refused)
        if is_empty and self._doubts > 0:
            self._doubts -= 1
            answer = await self._ask(since, limit)
        self._unreadable = self._unreadable + 1 if answer.problem else 0
        self._was_read |= bool(answer.candles)
        self._note(answer)
        return answer

    def _note(self, answer: Answer) -> None:
        if answer.refused:
            refused_rows().note(self._series, len(answer.refused), answer.refused[0].reason)

    async def _ask(self, since: int, limit: int) -> Answer:
        learned = self._learned
        try:
            answer = await self._sent(since, limit)
            if answer.window.first is not None or learned.needs_until is not None:
                return answer
        except FeedRefused as error:
            if not isinstance(error.__cause__, ccxt.ArgumentsRequired) or learned.needs_until:
                raise
        # The request has no start, or ccxt's class takes none without an end.
        learned.needs_until = True
        try:
            answer = await self._sent(since, limit)
        except FeedError:
            learned.needs_until = None
            raise
        learned.needs_until = answer.window.first is not None
        return answer

    async def _sent(self, since: int, limit: int) -> Answer:
        until = since + limit * self._step if self._learned.needs_until else None
        return await ask(self._exchange, self._series, self._name, since, limit, until=until)

    # Answers

    async def _page(self, answer: Answer, limit: int) -> HistoryPage | None:
        """The page of an answer; None to ask again, for another window."""
        first, last = answer.window
        if last is not None and last < self._cursor and not self._is_at_start:
            # A request for one day: without the candle before, it is the next day.
            self._is_at_start = True
            return None
        self._is_at_start = False
        if first is not None and last is not None and first > self._cursor:
            asked_for = (last - first) // self._step + 1
            if asked_for < limit:
                # ccxt asks for the newest part only, so a smaller window is asked for as a whole.
                self._size = asked_for
                return None
        slots = answer.slots(self._cursor, self._closed)
        if not slots:
            return self._empty(answer)
        bars, reason = self._bars(answer), UNANSWERED
        hole_from = self._cursor if self._hole_from is None else self._hole_from
        if slots[0] > hole_from and bars[0] >= hole_from:
            found = await self._before(answer, hole_from, slots[0])
            if found is None:
                return None
            bars, reason = found
            hole_from = self._cursor if self._hole_from is None else self._hole_from
        asked = (min(hole_from, self._cursor), min(slots[-1], self._end))
        return self._done(answer, asked, bars=bars, edges=reason)

    def _bars(self, answer: Answer) -> tuple[int, int]:
        """The first and the last closed candle of an answer."""
        times = [one.candle_time for one in answer.candles if one.candle_time <= self._closed]
        return (times[0], times[-1]) if times else (self._closed, 0)

    def _done(
        self, answer: Answer, asked: tuple[int, int], *, bars: tuple[int, int], edges: Reason
    ) -> HistoryPage:
        holes = holes_of(answer, asked, self._timeframe, bars=bars, edges=edges)
        candles = [one for one in answer.candles if asked[0] <= one.candle_time <= asked[1]]
        self._cursor = asked[1] + self._step
        self._hole_from = None
        self._extra = MOST_EXTRA
        if candles:
            self._doubts = MOST_DOUBTS
            self._left = candles[-1].candle_time
        return HistoryPage(candles=candles, asked=asked, holes=holes)

    def _empty(self, answer: Answer) -> HistoryPage:
        """The page of an answer without a candle from the cursor on."""
        why, detail, last = Missing.UNANSWERED, answer.problem, answer.window.last
        if last is None:
            # Only the newest page can be asked for, with the forming candle.
            oldest = self._closed - (self._size - 2) * self._step
            last = self._end
            if self._cursor < oldest:
                why, detail, last = Missing.UNSERVED, ONLY_NEWEST, oldest - self._step
        asked = (self._cursor, min(self._end, max(self._cursor, last)))
        hole = Hole(from_time=asked[0], to_time=asked[1], why=why, detail=detail)
        if why is Missing.UNANSWERED and self._hole_from is None:
            self._hole_from = self._cursor
        self._cursor = asked[1] + self._step
        return HistoryPage(candles=[], asked=asked, holes=(hole,))

    # The hole before an answer's first candle

    async def _before(
        self, answer: Answer, hole_from: int, first: int
    ) -> tuple[tuple[int, int], Reason] | None:
        """What the candles before an answer's first one are missing for; None to ask again."""
        bars = self._bars(answer)
        again = answer
        for since in self._evidence_from(answer, hole_from, first):
            if self._extra <= 0:
                return bars, UNANSWERED
            self._extra -= 1
            with contextlib.suppress(RequestRefused):
                limit = (first - since) // self._step + 2
                again = await self._ask(since, min(self._size, limit))
            if found := again.slots(hole_from, first - self._step):
                self._go_back(answer, hole_from, found)
                return None
            shown = self._bars(again)
            if shown[0] < hole_from and first <= shown[1]:
                return (shown[0], max(bars[1], shown[1])), UNANSWERED
        opening = next((one for one in answer.candles if one.candle_time == first), None)
        if opening is None or self._left is not None or not again.candles:
            return bars, UNANSWERED
        return bars, await self._oldest(opening)

    def _go_back(self, answer: Answer, hole_from: int, found: list[int]) -> None:
        """Ask again for what an answer lacked."""
        if found[-1] >= self._cursor and len(answer.candles) >= SMALLEST_PAGE:
            # The answer was only the newest part of its window.
            self._size = min(self._size, len(answer.candles))
        self._cursor = max(hole_from, min(self._cursor, found[0]))
        self._hole_from = hole_from if hole_from < self._cursor else None

    def _evidence_from(self, answer: Answer, hole_from: int, first: int) -> Iterator[int]:
        """Where to ask from, so that one answer may show both sides of a hole."""
        left = hole_from - self._step if self._left is None else self._left
        yield max(self._floor, 0, left - self._step)
        # A page back, as long as the exchange really has it.
        opened, last = answer.window
        size = self._size
        if opened is not None and last is not None:
            size = min(size, (last - opened) // self._step + 1)
        far = first - (size - 2) * self._step
        if self._left is None:
            yield max(self._floor, 0, far)

    async def _oldest(self, opening: Candle) -> Reason:
        """Why nothing before the oldest candle that is served is there.

        It may be too old to be served, or older than the listing: candles of a longer timeframe
        reach further back, and show whether there was trade.
        """
        longer = self._longer()
        if longer is None and self._learned.needs_until is False:
            return Missing.UNSERVED, ONLY_NEWEST
        if longer is not None and await self._traded_before(opening, *longer):
            return Missing.UNSERVED, f"not served, although candles of {longer[0]} show trade"
        return UNANSWERED

    def _longer(self) -> tuple[str, Timeframe] | None:
        """The next longer timeframe of the exchange that consists of whole candles of ours."""
        found: list[tuple[int, str, Timeframe]] = []
        for name, other in followable_named(self._exchange.timeframes or {}).items():
            is_longer = other.seconds > self._step and other.seconds % self._step == 0
            if is_longer and (other.offset - self._timeframe.offset) % self._step == 0:
                found.append((other.seconds, name, other))
        return min(found)[1:] if found else None

    async def _traded_before(self, opening: Candle, name: str, coarse: Timeframe) -> bool:
        """Whether bars of a longer timeframe show trade before the `opening` candle."""
        around = coarse.open_of(opening.candle_time)
        series = replace(self._series, timeframe=coarse)
        until = around + 2 * coarse.seconds if self._learned.needs_until else None
        try:
            found = await ask(
                self._exchange,
                series,
                name,
                max(0, around - 3 * coarse.seconds),
                self._size if self._learned.needs_until is False else 5,
                until=until,
            )
        except RateLimited:
            raise
        except FeedError:
            return False
        for bar in found.candles:
            if bar.candle_time < around <= bar.candle_time + 4 * coarse.seconds:
                return True
            if bar.candle_time == around < opening.candle_time:
                return bar.open != opening.open
        return False

    # Refusals

    async def _refused(self, refusal: RequestRefused, since: int, limit: int) -> HistoryPage | None:
        """Find out what of a refused request is served: a smaller window, or a newer one."""
        if self._extra <= 0:
            raise refusal
        self._extra -= 1
        if await self._is_served(since, limit):
            return None
        newest = max(since, self._closed - (limit - 2) * self._step)
        if newest == since or not await self._is_served(newest, limit):
            if limit <= SMALLEST_PAGE:
                raise refusal
            self._size = max(SMALLEST_PAGE, limit // 4)
            return None
        edge = await self._edge(since, newest)
        if await self._is_served(since, limit):
            raise FeedError(f"{self._series}: refused now and then: {refusal}")
        self._floor = edge
        self._learned.served[self._timeframe.text] = (self._closed - edge) // self._step
        if edge <= self._cursor:
            return None
        last = min(self._end, edge - self._step)
        asked = (self._cursor, last)
        self._cursor, self._hole_from = edge, None
        hole = Hole(from_time=asked[0], to_time=last, why=Missing.UNSERVED, detail=str(refusal))
        return HistoryPage(candles=[], asked=asked, holes=(hole,))

    async def _edge(self, refused: int, served: int) -> int:
        """The oldest `since` that is served, by bisection; other windows are narrowed first."""
        known = self._learned.served.get(self._timeframe.text)
        if known is not None:
            at = self._closed - known * self._step
            for guess in (at - EDGE_MOVES * self._step, at + EDGE_MOVES * self._step):
                if refused < guess < served:
                    if await self._is_served(guess, PROBE):
                        served = guess
                    else:
                        refused = guess
        while served - refused > self._step:
            middle = refused + (served - refused) // self._step // 2 * self._step
            if await self._is_served(middle, PROBE):
                served = middle
            else:
                refused = middle
        return served

    async def _is_served(self, since: int, limit: int) -> bool:
        try:
            await self._ask(since, limit)
        except RequestRefused:
            return False
        return True
