"""Pages of symbols, events and features as they are put together."""

from __future__ import annotations

import json

import pytest

from trade_canvas_client import Conflict, SeriesChanging, UnexpectedAnswer
from trade_canvas_client.fact_reads import read_events, read_features, read_symbols
from trade_canvas_client.wire import Answer

SERIES = "a:spot:B/C:1m"
CHANGED = Answer(409, {}, b'{"code": "events_changed", "detail": "changed"}')


def run(reading, *answers):
    """Return what is read of these answers, and the queries that were sent."""
    queries, waiting = [], list(answers)
    try:
        requests = next(reading)
        while True:
            (request,) = requests
            queries.append(request.query)
            answer = waiting.pop(0)
            if isinstance(answer, dict):
                answer = Answer(200, {}, json.dumps(answer).encode())
            requests = reading.send([answer])
    except StopIteration as done:
        assert not waiting
        return done.value, queries


def symbol(name):
    known = {"exchange": "a", "market": "spot", "symbol": name, "base_asset": "B"}
    known |= {"quote_asset": "C", "active": True, "price_tick": 0.5, "price_digits": None}
    return known | {"whitelisted": ["1m"], "matched": [[0, 1]], "a_later_field": 1}


def page(cursor, epoch=0, **rows):
    known = {"series_id": SERIES, "epoch": epoch, "generation": "g", "head_time": 120}
    return known | rows | {"next_cursor": cursor}


def event(number):
    names = {"factor": "pen", "kind": "pen.confirmed", "event_key": f"{number}", "payload": {}}
    return {"id": number, "candle_time": 60} | names


def test_symbols_are_read_up_to_the_limit():
    pages = [
        {"items": [symbol("B/C"), symbol("D/E")], "next_cursor": "x"},
        {"items": [symbol("F/G")], "next_cursor": "y"},
    ]
    found, queries = run(read_symbols("b", "a", None, 3), *pages)
    assert [each.symbol for each in found] == ["B/C", "D/E", "F/G"]
    assert found[0].whitelisted == ("1m",)
    assert queries[0] == [("query", "b"), ("exchange", "a"), ("limit", "3")]
    assert queries[1][2:] == [("limit", "1"), ("cursor", "x")]
    assert run(read_symbols("b", None, None, 9), {"items": [], "next_cursor": None})[0] == []


def test_events_begin_anew_when_the_past_changed():
    pages = [
        page("x", events=[event(1)]),
        CHANGED,
        page("z", epoch=1, events=[event(7)]),
        page(None, epoch=2, events=[event(8)]),
    ]
    found, queries = run(read_events(SERIES, 60, 120, ["pen.confirmed"]), *pages)
    assert [each.id for each in found] == [7, 8]
    assert (found.epoch, found.head_time) == (1, 120)
    first = [("series_id", SERIES), ("limit", "5000"), ("from", "60"), ("to", "120")]
    assert queries[0] == queries[2] == [*first, ("kinds", "pen.confirmed")]
    assert [query[-1] for query in queries[1::2]] == [("cursor", "x"), ("cursor", "z")]
    with pytest.raises(SeriesChanging):
        run(read_events(SERIES, None, None, []), *[CHANGED] * 50)


def test_columns_that_a_page_lacks_are_empty_there():
    pages = [
        page("x", candle_time=[60, 120], columns={"n": [1.0, None]}),
        page(None, candle_time=[180], columns={"m": [2.0]}),
    ]
    found, _ = run(read_features(SERIES, None, None, []), *pages)
    assert found.columns == {"n": [1.0, None, None], "m": [None, None, 2.0]}
    assert list(found.candle_time) == [60, 120, 180]


def test_other_errors_and_other_answers_are_raised():
    with pytest.raises(Conflict) as refused:
        run(read_events(SERIES, None, None, []), Answer(409, {}, b'{"code": "x"}'))
    assert refused.value.code == "x"
    for broken in ({"next_cursor": None}, page(None, events=[{"id": 1}])):
        with pytest.raises(UnexpectedAnswer):
            run(read_events(SERIES, None, None, []), broken)
