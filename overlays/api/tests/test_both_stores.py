"""Every read answers byte for byte the same from memory and from PostgreSQL."""

from __future__ import annotations

import pytest

from market import singletons
from overlays.api.tests.drawn import AT_TIME, DELTA, LIVE, POLL, SERIES, ingest, walk

WINDOWS = (5, 60, 2000)
CURSORS = (0, 1, 40, 400)


def reads():
    for window in WINDOWS:
        yield LIVE, {"window_candles": window}
        for cursor in CURSORS:
            yield DELTA, {"cursor_version_id": cursor, "window_candles": window}
            yield POLL, {"after_id": cursor, "window_candles": window}
        for time in range(30, 9100, 420):
            yield AT_TIME, {"at_time": time, "window_candles": window}
            yield DELTA, {"at_time": time, "window_candles": window}


def fill():
    candles = walk(150)
    ingest(candles[:40])
    for candle in candles[40:60]:
        ingest([candle])
    ingest([candles[30]._replace(high=candles[30].high + 2)])
    ingest(candles[60:])
    ingest(candles[50:52])


@pytest.mark.django_db(transaction=True, reset_sequences=True)
def test_answers_are_equal(transactional_db, fresh_process, switch, api):
    answers = []
    for in_database in (False, True):
        singletons.reset()
        switch(enable_pg_store=in_database, pivot_window_major=2, pivot_window_minor=1)
        fill()
        answers.append([api.get(path, series_id=SERIES, **query) for path, query in reads()])
    for memory, database in zip(*answers, strict=True):
        assert memory.status_code == database.status_code
        assert memory.content == database.content
    assert sum(answer.status_code == 200 for answer in answers[0]) > 100
