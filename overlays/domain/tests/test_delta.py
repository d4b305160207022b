"""The draw delta: cursors, limits and what is active."""

from __future__ import annotations

import pytest

from market.domain.series import SeriesId
from overlays.domain.delta import draw_delta, nothing
from overlays.domain.instruction import WITHDRAWN, Change
from overlays.domain.tests.test_versions import line, mark
from overlays.domain.versions import SeriesVersions

SERIES = SeriesId.parse("x:y:Z:1m")


@pytest.fixture
def versions():
    stored = SeriesVersions()
    stored.append(3, mark("mark", 60, 120))
    stored.append(5, line("edge", (60, 120), 180, open_end=True))
    stored.append(6, line("pen", (120, 180), 240))
    stored.append(9, line("pen", (120, 300), 300))
    stored.append(10, Change("edge", "polyline", 360, WITHDRAWN))
    return stored


def ids(patch):
    return [version.version_id for version in patch]


def test_delta_from_nothing_has_every_version_and_the_active_ids(versions):
    delta = draw_delta(versions, cursor=0, to_time=360, cutoff=0)
    assert ids(delta.patch) == [3, 5, 6, 9, 10]
    assert delta.active_ids == ("mark", "pen")
    assert delta.next_cursor == 10


def test_delta_of_a_past_candle_knows_nothing_of_later_ones(versions):
    delta = draw_delta(versions, cursor=0, to_time=240, cutoff=0)
    assert ids(delta.patch) == [3, 5, 6]
    assert delta.active_ids == ("edge", "mark", "pen")
    assert delta.next_cursor == 6


def test_delta_behind_a_cursor_has_only_newer_versions(versions):
    assert ids(draw_delta(versions, cursor=6, to_time=360, cutoff=0).patch) == [9, 10]


def test_delta_behind_the_newest_cursor_is_empty_and_stays(versions):
    delta = draw_delta(versions, cursor=10, to_time=360, cutoff=0)
    assert (delta.patch, delta.next_cursor) == ([], 10)


def test_cursor_never_skips_what_one_answer_could_not_carry(versions):
    cursor, seen = 3, []
    while True:
        delta = draw_delta(versions, cursor=cursor, to_time=360, cutoff=0, limit=2)
        if not delta.patch:
            break
        seen += ids(delta.patch)
        cursor = delta.next_cursor
    assert seen == [5, 6, 9, 10]


def test_fresh_client_of_a_long_series_gets_what_the_window_shows(versions):
    delta = draw_delta(versions, cursor=0, to_time=300, cutoff=61, fresh_limit=3)
    assert ids(delta.patch) == [5, 9]
    assert delta.active_ids == ("edge", "pen")
    assert delta.next_cursor == 9


@pytest.fixture
def growing():
    """A line from 60 on that began anew at 240, with points at 60, 120, 240 and 300."""
    stored = SeriesVersions()
    for number, (kind, time, definition) in enumerate(
        [
            ("line", 60, {"type": "line", "start": 60}),
            ("point", 60, {"value": 1.0}),
            ("point", 120, {"value": 2.0}),
            ("line", 180, WITHDRAWN),
            ("line", 240, {"type": "line", "start": 240}),
            ("point", 240, {"value": 4.0}),
            ("point", 300, {"value": 5.0}),
        ],
        1,
    ):
        stored.append(number, Change("mean", kind, time, definition))
    return stored


def test_point_of_a_line_costs_its_own_bytes_only(growing):
    delta = draw_delta(growing, cursor=6, to_time=300, cutoff=0)
    assert (delta.patch, delta.points) == ([], {"mean": [(300, 5.0)]})
    assert delta.active_ids == ("mean",)
    assert delta.next_cursor == 7


def test_points_of_later_candles_take_no_part(growing):
    delta = draw_delta(growing, cursor=0, to_time=120, cutoff=0)
    assert delta.points == {"mean": [(60, 1.0), (120, 2.0)]}
    assert (ids(delta.patch), delta.next_cursor) == ([1], 3)


def test_fresh_client_of_a_long_series_gets_the_points_of_the_window_since_the_line_began(growing):
    delta = draw_delta(growing, cursor=0, to_time=300, cutoff=60, fresh_limit=3)
    assert delta.points == {"mean": [(240, 4.0), (300, 5.0)]}
    assert (ids(delta.patch), delta.next_cursor, delta.is_whole) == ([5], 7, True)
    assert draw_delta(growing, cursor=0, to_time=300, cutoff=241, fresh_limit=3).points == {
        "mean": [(300, 5.0)]
    }


def test_cursor_counts_points_as_it_counts_versions(growing):
    cursor, seen = 1, []
    while True:
        delta = draw_delta(growing, cursor=cursor, to_time=300, cutoff=0, limit=2)
        seen += [*delta.patch, *delta.points.get("mean", ())]
        cursor = delta.next_cursor
        if delta.is_whole:
            break
    assert [getattr(each, "version_id", each) for each in seen] == [
        (60, 1.0),
        (120, 2.0),
        4,
        5,
        (240, 4.0),
        (300, 5.0),
    ]


def shown(*changes, to_time, cutoff):
    versions = SeriesVersions()
    for number, change in enumerate(changes, 1):
        versions.append(number, change)
    return draw_delta(versions, cursor=0, to_time=to_time, cutoff=cutoff).active_ids


def test_active_marker_lies_inside_the_window_edges_included():
    assert shown(mark("mark", 120, 180), to_time=180, cutoff=120) == ("mark",)
    assert shown(mark("mark", 120, 180), to_time=180, cutoff=121) == ()


def test_active_polyline_may_span_the_window_without_a_point_inside():
    assert shown(line("pen", (60, 600), 240), to_time=300, cutoff=120) == ("pen",)


def test_active_ids_are_in_code_point_order():
    marks = [mark(name, 60, 60) for name in "bB:a1"]
    assert shown(*marks, to_time=60, cutoff=0) == ("1", ":", "B", "a", "b")


def test_delta_on_the_wire_has_the_shape_of_the_contract(versions):
    delta = draw_delta(versions, cursor=9, to_time=360, cutoff=0)
    assert delta.as_object(SERIES) == {
        "schema_version": 1,
        "series_id": "x:y:Z:1m",
        "to_candle_id": "x:y:Z:1m:360",
        "to_candle_time": 360,
        "active_ids": ["mark", "pen"],
        "instruction_catalog_patch": [
            {
                "version_id": 10,
                "instruction_id": "edge",
                "kind": "polyline",
                "visible_time": 360,
                "definition": {},
            }
        ],
        "series_points": {},
        "next_cursor": {"version_id": 10, "point_time": None},
    }


def test_delta_without_a_candle_is_empty_and_keeps_the_cursor():
    shown = nothing(7).as_object(SERIES)
    assert shown["to_candle_time"] is shown["to_candle_id"] is None
    assert shown["active_ids"] == shown["instruction_catalog_patch"] == []
    assert shown["next_cursor"] == {"version_id": 7, "point_time": None}
