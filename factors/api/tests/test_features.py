"""GET /api/factor/features: rows of candles, refusals, and what happens behind a cursor."""

from __future__ import annotations

import pytest

from factors import features as features_module
from factors import runtime as factors_runtime
from factors.api.tests.test_events import END, OTHER, SERIES, WAVES, ingest
from factors.domain.features import EVENT_COUNT, FeatureTable, feature_rows
from factors.domain.ledger import Rebuild
from market import blocking, runtime
from market.api.cursors import cursor_text
from market.api.tests.asking import items, refusal
from market.domain.series import SeriesId
from market.pipeline import Pipeline

FEATURES = "/api/factor/features"

pytestmark = pytest.mark.usefixtures("either_store")


def asked(api, **query):
    if "start" in query:
        query["from"] = query.pop("start")
    return api.get(FEATURES, **{"series_id": SERIES} | query)


def expected(candles=WAVES, columns=None):
    """The table of these candles from the rows of the ledger."""
    events = blocking.call(factors_runtime.factor_ledger().events, SeriesId.parse(SERIES), 0, END)
    table = FeatureTable(columns)
    for row in feature_rows([each.candle_time for each in candles], events):
        table.add(row)
    return table


def test_page_has_one_row_a_candle(api):
    ingest(WAVES)
    body = asked(api).json()
    table = expected()
    state = blocking.call(runtime.candle_store().state, SeriesId.parse(SERIES))
    assert body == {
        "series_id": SERIES,
        "epoch": state.epoch,
        "generation": state.generation,
        "head_time": END,
        "candle_time": table.candle_time,
        "columns": table.columns,
        "next_cursor": None,
    }
    assert list(body["columns"]) == list(table.columns)
    assert sum(value is not None for value in body["columns"][EVENT_COUNT]) > 10


@pytest.mark.parametrize(
    "columns",
    [
        ["pen_confirmed_direction", "pivot_major_count"],
        ["feature_event_count"],
        ["sr_snapshot_direction"],
    ],
)
@pytest.mark.parametrize("limit", [7, 5000])
def test_pages_of_named_columns_are_one_table(api, columns, limit):
    ingest(WAVES)
    times, found, cursor = [], {name: [] for name in columns}, {}
    while True:
        body = asked(api, columns=",".join(columns), limit=limit, **cursor).json()
        times += body["candle_time"]
        for name in columns:
            found[name] += body["columns"][name]
        if body["next_cursor"] is None:
            break
        assert len(body["candle_time"]) == limit
        cursor = {"cursor": body["next_cursor"]}
    table = expected(columns=columns)
    assert (times, found) == (table.candle_time, table.columns)


def test_page_of_many_events_ends_with_a_whole_candle(api, monkeypatch):
    monkeypatch.setattr(features_module, "MOST_EVENTS", 4)
    monkeypatch.setattr(features_module, "MOST_ROWS", 3)
    ingest(WAVES)
    times, counts, cursor, pages = [], [], {}, 0
    while True:
        body = asked(api, columns=EVENT_COUNT, limit=5000, **cursor).json()
        times += body["candle_time"]
        counts += body["columns"][EVENT_COUNT]
        pages += 1
        if body["next_cursor"] is None:
            break
        cursor = {"cursor": body["next_cursor"]}
    assert (times, counts) == (expected().candle_time, expected().columns[EVENT_COUNT])
    assert pages > 4


def test_range_has_both_ends_and_holes_have_no_rows(api):
    ingest(WAVES[:200] + WAVES[210:])
    body = asked(api, start=WAVES[195].candle_time, to=WAVES[214].candle_time - 1).json()
    times = [each.candle_time for each in WAVES[195:200] + WAVES[210:214]]
    found = list(body["candle_time"])
    while body["next_cursor"] is not None:
        body = asked(api, to=WAVES[214].candle_time - 1, cursor=body["next_cursor"]).json()
        found += body["candle_time"]
    assert found == times


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"series_id": "abc"}, (400, "invalid_series_id")),
        ({"columns": "pen_confrmed_count"}, (400, "unknown_column")),
        ({"columns": ""}, (400, "unknown_column")),
        ({"start": 120, "to": 60}, (400, "invalid_range")),
        ({"cursor": "x"}, (400, "invalid_cursor")),
        ({"cursor": cursor_text((OTHER, 60, 0, "", ""))}, (400, "invalid_cursor")),
    ],
)
def test_bad_query_is_refused_with_a_code(api, query, error):
    ingest(WAVES[:3])
    assert refusal(asked(api, **query)) == error


@pytest.mark.parametrize("limit", [0, 5001])
def test_impossible_limit_is_refused(api, limit):
    ((_, place),) = items(asked(api, limit=limit))
    assert place == ["query", "limit"]


def test_series_without_candles_has_no_rows(api):
    body = asked(api, columns=EVENT_COUNT).json()
    assert (body["candle_time"], body["columns"]) == ([], {EVENT_COUNT: []})
    assert (body["head_time"], body["next_cursor"]) == (None, None)


def test_revision_behind_the_cursor_is_refused_and_ahead_of_it_is_not(api):
    ingest(WAVES)
    half = asked(api, limit=300).json()
    ingest([WAVES[400]._replace(high=10_000.0)])
    assert asked(api, cursor=half["next_cursor"]).status_code == 200
    ingest([WAVES[50]._replace(high=10_000.0)])
    assert refusal(asked(api, cursor=half["next_cursor"])) == (409, "events_changed")


def test_cursor_of_other_logic_is_refused(api):
    ingest(WAVES)
    state = blocking.call(runtime.candle_store().state, SeriesId.parse(SERIES))
    place = (SERIES, WAVES[9].candle_time, state.epoch, state.generation)
    fingerprint = factors_runtime.engine().fingerprint
    assert asked(api, cursor=cursor_text((*place, fingerprint))).status_code == 200
    refused = asked(api, cursor=cursor_text((*place, "other")))
    assert refusal(refused) == (409, "events_changed")


def test_rebuild_with_the_same_logic_changes_no_row(api):
    ingest(WAVES)
    half = asked(api, limit=300).json()
    blocking.call(runtime.pipeline().rerun, SeriesId.parse(SERIES), Rebuild(0))
    rest = asked(api, cursor=half["next_cursor"], limit=5000).json()
    assert half["candle_time"] + rest["candle_time"] == expected().candle_time


def test_ledger_behind_is_a_conflict(api):
    ingest(WAVES[:-1])
    ingest(WAVES[-1:], Pipeline(runtime.candle_store()))
    assert asked(api).json()["candle_time"][-1] == END - 60
    refused = asked(api, to=END)
    assert refusal(refused) == (409, "factor_read.ledger_out_of_sync")
    assert refused.json()["detail"] == "ledger_out_of_sync:feature"


def test_revision_during_the_read_is_read_again(api, monkeypatch):
    ingest(WAVES)
    read_pages, revisions = features_module.candle_pages, [WAVES[60], WAVES[61]]

    def pages(*arguments, **options):
        page = next(read_pages(*arguments, **options))
        if revisions:
            changed = revisions.pop()._replace(high=10_000.0)
            runtime.pipeline().ingest(SeriesId.parse(SERIES), [changed])
        yield page

    monkeypatch.setattr(features_module, "candle_pages", pages)
    body = asked(api).json()
    assert body["columns"] == expected().columns
    assert not revisions
