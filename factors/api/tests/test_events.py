"""GET /api/factor/events: pages, refusals, and what happens behind a cursor; on both stores."""

from __future__ import annotations

import pytest

from factors import runtime as factors_runtime
from factors.domain.ledger import Rebuild
from factors.domain.tests.recordings import flat
from factors.events import pages
from market import blocking, runtime
from market.api.cursors import cursor_text
from market.api.tests.asking import items, refusal
from market.domain.series import SeriesId
from market.pipeline import Pipeline

SERIES = "binance:futures:BTC/USDT:1m"
OTHER = "binance:futures:ETH/USDT:1m"
EVENTS = "/api/factor/events"
WAVES = flat(*[100.0 + abs(each % 120 - 60) * (1 + each // 120) for each in range(600)])
END = WAVES[-1].candle_time
MIDDLE = WAVES[300].candle_time

pytestmark = pytest.mark.usefixtures("either_store")


def ingest(candles, pipeline=None, series=SERIES):
    chosen = pipeline or runtime.pipeline()
    return blocking.call(chosen.ingest, SeriesId.parse(series), candles)


def asked(api, **query):
    if "start" in query:
        query["from"] = query.pop("start")
    return api.get(EVENTS, **{"series_id": SERIES} | query)


def paged(api, **query):
    """The events of all pages, and how many pages there were."""
    found, count, cursor = [], 0, {}
    while True:
        body = asked(api, **query, **cursor).json()
        found += body["events"]
        count += 1
        if body["next_cursor"] is None:
            return found, count
        cursor = {"cursor": body["next_cursor"]}


def stored(start=0, end=END, kinds=None):
    """The rows of the ledger in the form of the answer, without numbers."""
    events = blocking.call(
        factors_runtime.factor_ledger().events, SeriesId.parse(SERIES), start, end
    )
    return [
        {
            "candle_time": each.candle_time,
            "factor": each.factor,
            "kind": each.kind,
            "event_key": each.event_key,
            "payload": each.payload,
        }
        for each in events
        if kinds is None or each.kind in kinds
    ]


def unnumbered(events):
    numbers = [(each["candle_time"], each.pop("id")) for each in events]
    assert numbers == sorted(set(numbers))
    return events


@pytest.mark.parametrize("limit", [7, 5000])
def test_pages_are_the_ledger_row_by_row(api, limit):
    ingest(WAVES)
    found, count = paged(api, limit=limit)
    assert unnumbered(found) == stored()
    assert len(found) > 30
    assert count == -(-len(found) // limit)


def test_page_describes_its_ledger(api):
    ingest(WAVES[:-1])
    body = asked(api, limit=1).json()
    state = blocking.call(runtime.candle_store().state, SeriesId.parse(SERIES))
    assert body["series_id"] == SERIES
    assert (body["epoch"], body["generation"]) == (state.epoch, state.generation)
    assert body["head_time"] == END - 60
    assert body["events"][0]["event_key"]


@pytest.mark.parametrize(
    "kinds", ["pen.confirmed", "pen.confirmed,zhongshu.dead", ["pivot.minor", "sr.snapshot"]]
)
def test_kinds_are_chosen(api, kinds):
    ingest(WAVES)
    names = kinds.split(",") if isinstance(kinds, str) else kinds
    found, _ = paged(api, kinds=kinds, limit=3)
    assert unnumbered(found) == stored(kinds=names)
    assert found


def test_range_has_both_ends(api):
    ingest(WAVES)
    times = [each["candle_time"] for each in stored()]
    start, end = times[len(times) // 4], times[len(times) // 2]
    found, _ = paged(api, start=start, to=end, limit=4)
    assert unnumbered(found) == stored(start, end)


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"series_id": "abc"}, (400, "invalid_series_id")),
        ({"kinds": "pen.confrmed"}, (400, "unknown_kind")),
        ({"kinds": "pen.confirmed,"}, (400, "unknown_kind")),
        ({"kinds": "other.kind"}, (400, "unknown_kind")),
        ({"start": 120, "to": 60}, (400, "invalid_range")),
        ({"cursor": "x"}, (400, "invalid_cursor")),
        ({"cursor": "WzFd"}, (400, "invalid_cursor")),
        ({"cursor": cursor_text((OTHER, 60, 1, 0, ""))}, (400, "invalid_cursor")),
        ({"cursor": cursor_text((SERIES, -1, 1, 0, ""))}, (400, "invalid_cursor")),
    ],
)
def test_bad_query_is_refused_with_a_code(api, query, error):
    ingest(WAVES[:3])
    assert refusal(asked(api, **query)) == error


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 5001}, {"start": -1}, {"to": "now"}])
def test_impossible_values_are_refused(api, query):
    ((_, place),) = items(asked(api, **query))
    assert place == ["query", *{"start": "from"}.get(next(iter(query)), next(iter(query))).split()]


def test_series_without_candles_has_no_events(api):
    body = asked(api).json()
    assert (body["events"], body["head_time"], body["next_cursor"]) == ([], None, None)


def test_revision_behind_the_cursor_is_refused(api):
    ingest(WAVES)
    first = asked(api, to=MIDDLE, limit=5000).json()
    assert first["next_cursor"] is None
    half = asked(api, limit=len(first["events"])).json()
    ingest([WAVES[50]._replace(high=10_000.0)])
    again = asked(api, cursor=half["next_cursor"])
    assert refusal(again) == (409, "events_changed")


def test_revision_ahead_of_the_cursor_changes_nothing_behind_it(api):
    ingest(WAVES)
    half = asked(api, limit=5).json()
    assert half["events"][-1]["candle_time"] < WAVES[-50].candle_time
    ingest([WAVES[-50]._replace(high=10_000.0)])
    rest = asked(api, cursor=half["next_cursor"], limit=5000).json()
    assert unnumbered(half["events"] + rest["events"]) == stored()


def test_rebuild_behind_the_cursor_is_refused(api):
    ingest(WAVES)
    half = asked(api, limit=5).json()
    blocking.call(runtime.pipeline().rerun, SeriesId.parse(SERIES), Rebuild(0))
    assert refusal(asked(api, cursor=half["next_cursor"])) == (409, "events_changed")


def test_cursor_of_another_past_is_refused(api):
    ingest(WAVES)
    half = asked(api, limit=5).json()
    last = half["events"][-1]
    place = (SERIES, last["candle_time"], last["id"], half["epoch"])
    assert asked(api, cursor=cursor_text((*place, half["generation"]))).status_code == 200
    other = cursor_text((*place, "another"))
    assert refusal(asked(api, cursor=other)) == (409, "events_changed")


def test_candles_that_come_between_pages_are_on_later_ones(api):
    ingest(WAVES[:400])
    found = asked(api, limit=5).json()
    ingest(WAVES[400:])
    rest = asked(api, cursor=found["next_cursor"], limit=5000).json()
    assert unnumbered(found["events"] + rest["events"]) == stored()


def test_ledger_behind_is_a_conflict(api):
    ingest(WAVES[:-1])
    ingest(WAVES[-1:], Pipeline(runtime.candle_store()))
    assert asked(api, limit=5000).json()["head_time"] == END - 60
    assert asked(api, to=END - 1).status_code == 200
    refused = asked(api, to=END)
    assert refusal(refused) == (409, "factor_read.ledger_out_of_sync")
    assert refused.json()["detail"] == "ledger_out_of_sync:factor"


def test_series_without_a_ledger_is_a_conflict(api):
    ingest(WAVES[:5], Pipeline(runtime.candle_store()))
    assert refusal(asked(api)) == (409, "factor_read.ledger_out_of_sync")


def test_candles_that_changed_without_the_ledger_are_a_conflict(api):
    ingest(WAVES)
    ingest([WAVES[300]._replace(high=10_000.0)], Pipeline(runtime.candle_store()))
    assert asked(api, to=MIDDLE - 60).status_code == 200
    assert refusal(asked(api)) == (409, "factor_read.ledger_out_of_sync")


def test_server_code_reads_the_same_pages(api):
    ingest(WAVES)
    found = blocking.call(lambda: list(pages(SeriesId.parse(SERIES), limit=9)))
    numbers = [each.number for page in found for each in page.events]
    assert numbers == [each["id"] for each in paged(api, limit=100)[0]]
    assert [page.cursor for page in found].count(None) == 1
