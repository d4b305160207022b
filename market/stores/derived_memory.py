"""The derived book in this process's memory; nothing is kept when it ends."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Collection, Sequence

from typing_extensions import override

from market.domain.derived import Booked, DerivedBook, Incomplete, Progress, Span
from market.domain.series import SeriesId
from market.domain.store import SeriesWriter


class MemoryDerivedBook(DerivedBook):
    """Beside the memory store: what is recorded becomes visible with the candles' commit."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._progress: dict[SeriesId, Progress] = {}
        self._incomplete: defaultdict[SeriesId, dict[int, Incomplete]] = defaultdict(dict)

    @override
    def progress(self, writer: SeriesWriter) -> Progress | None:
        # Once the series was released, all of it is made anew.
        return self._progress.get(writer.series) if writer.is_derived else None

    @override
    def record(
        self,
        writer: SeriesWriter,
        progress: Progress,
        *,
        spans: Sequence[Span],
        incomplete: Sequence[Incomplete],
    ) -> None:
        def land() -> None:
            with self._mutex:
                self._progress[writer.series] = progress
                known = self._incomplete[writer.series]
                for time in [t for t in known if any(s.start <= t < s.end for s in spans)]:
                    del known[time]
                known.update({each.candle_time: each for each in incomplete})

        writer.mark_derived()
        writer.on_commit(land)

    @override
    def known(self) -> dict[SeriesId, Progress]:
        with self._mutex:
            return dict(self._progress)

    @override
    def among(self, series: Collection[SeriesId]) -> dict[SeriesId, Booked]:
        known = self.known()
        return {each: Booked(known[each], True) for each in series if each in known}

    @override
    def held(self) -> list[SeriesId]:
        # One process has one list of timeframes, and forgets its series with it.
        return sorted(self.known())

    @override
    def newest_incomplete(
        self, series: Collection[SeriesId], *, limit: int
    ) -> dict[SeriesId, list[Incomplete]]:
        with self._mutex:
            known = {each: sorted(self._incomplete.get(each, {}).values()) for each in series}
        return {each: buckets[-limit:] for each, buckets in known.items() if buckets}

    @override
    def incomplete(self, series: SeriesId, start: int, end: int, *, limit: int) -> list[Incomplete]:
        with self._mutex:
            known = sorted(self._incomplete.get(series, {}).values())
        return [each for each in known if start <= each.candle_time <= end][-limit:]
