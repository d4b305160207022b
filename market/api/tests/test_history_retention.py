"""Compact history of a series from which retention removed candles."""

from __future__ import annotations

from django.db import connection

from market.api import history_chunks
from market.api.tests.asking import SERIES, store

SPAN = 60 * 8


def index(api, **asked):
    response = api.http.get("/api/market/history", {"series_id": SERIES, **asked})
    assert response.status_code == 200, response.content
    return response.json()


def test_removed_cells_leave_the_index(on_postgres, switch, api, monkeypatch):
    switch(enable_compact_history=True)
    monkeypatch.setattr(history_chunks, "CELL_CANDLES", 8)
    store(range(0, 6 * SPAN + 60, 60))
    first = index(api)
    assert [each["first"] for each in first["chunks"]] == [SPAN * n for n in range(6)]
    with connection.cursor() as cursor:
        # Recorded, and not removed yet: already out of the index.
        cursor.execute("UPDATE series SET kept_from = %s", (3 * SPAN,))
    assert [each["first"] for each in index(api)["chunks"]] == [3 * SPAN, 4 * SPAN, 5 * SPAN]
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM candles WHERE candle_time < %s", (3 * SPAN,))
    now = index(api)
    assert now["chunks"] == [each for each in first["chunks"] if each["first"] >= 3 * SPAN]
    assert now["next_before"] is None and now["epoch"] == first["epoch"]


def test_chunks_that_vanished_leave_the_index_once_one_was_asked_for(
    on_postgres, switch, api, monkeypatch
):
    """As TimescaleDB drops them: nothing records it."""
    switch(enable_compact_history=True)
    monkeypatch.setattr(history_chunks, "CELL_CANDLES", 8)
    monkeypatch.setattr(history_chunks.history_chunks(), "_max_bytes", 1)
    store(range(0, 6 * SPAN + 60, 60))
    before = index(api)["chunks"]
    with connection.cursor() as cursor:
        # Within a cell, as chunks of a hypertable end anywhere.
        cursor.execute("DELETE FROM candles WHERE candle_time < %s", (2 * SPAN + 120,))
    assert index(api)["chunks"] == before
    path = f"/api/market/history/{before[2]['name']}"
    assert api.http.get(path, {"series_id": SERIES}).status_code == 404
    now = index(api)["chunks"]
    assert now[1:] == before[3:]
    assert (now[0]["first"], now[0]["candles"]) == (2 * SPAN + 120, 6)
    path = f"/api/market/history/{now[0]['name']}"
    assert api.http.get(path, {"series_id": SERIES}).status_code == 200
