"""Envelopes made of what the ledger holds, and of nothing else."""

import pytest

from factors.domain.engine import Engine
from factors.domain.slices import slices, window_start
from factors.domain.tests.installed import FACTORS
from factors.domain.tests.recordings import MINUTE, engine, facts_of, flat
from factors.domain.values import Event
from market.domain.series import SeriesId

SERIES = SeriesId.parse("x:y:A/B:1m")
SPECS = Engine(FACTORS).factors
ANCHOR_PRICES = (11.0, 10.0, 20.0, 14.0, 18.0, 15.0, 17.0, 16.0, 16.5, 30.0, 25.0, 35.0, 34.0)


def slices_of(events, heads, at_time=1000):
    return slices(SPECS, SERIES, at_time=at_time, events=events, heads=heads)


def switch(time, start, reason="strong_pen"):
    anchor = {"kind": "confirmed", "start_time": start, "end_time": start + 60, "direction": 1}
    payload = {"switch_time": time, "visible_time": time, "reason": reason, "new_anchor": anchor}
    return Event("anchor", "anchor.switch", time, f"{reason}:{time}:{start}", payload)


def pivot(time, visible_time, size="major"):
    payload = {"pivot_time": time, "visible_time": visible_time, "direction": "support"}
    return Event("pivot", f"pivot.{size}", visible_time, f"{size}:{time}", payload)


def test_slices_of_an_empty_ledger_show_no_factor():
    assert slices_of([], {}) == {}


def test_slices_show_no_pivots_without_a_major_one():
    assert slices_of([pivot(60, 120, "minor")], {}) == {}


def test_slices_leave_out_what_was_not_visible_yet():
    shown = slices_of([pivot(60, 120), pivot(180, 240)], {}, at_time=180)
    assert [item["pivot_time"] for item in shown["pivot"]["history"]["major"]] == [60]


def test_slices_carry_the_meta_of_their_candle():
    assert slices_of([pivot(60, 120)], {}, at_time=180)["pivot"]["meta"] == {
        "series_id": "x:y:A/B:1m",
        "epoch": 0,
        "at_time": 180,
        "candle_id": "x:y:A/B:1m:180",
        "factor_name": "pivot",
    }


def test_slices_sort_majors_by_the_time_they_became_visible():
    shown = slices_of([pivot(200, 300), pivot(100, 300), pivot(50, 240)], {})
    assert [item["pivot_time"] for item in shown["pivot"]["history"]["major"]] == [50, 100, 200]


@pytest.mark.parametrize(
    ("switches", "kept"),
    [
        # The later one of a time counts, and only the first arrival at each anchor.
        ([switch(300, 60, "zhongshu_entry"), switch(300, 180)], [(300, 180)]),
        ([switch(300, 60), switch(400, 180), switch(500, 60)], [(300, 60), (400, 180)]),
    ],
)
def test_anchor_slice_keeps_the_switches_of_the_contract(switches, kept):
    history = slices_of(switches, {})["anchor"]["history"]
    found = [
        (item["switch_time"], item["new_anchor"]["start_time"]) for item in history["switches"]
    ]
    assert found == kept
    assert history["anchors"] == [item["new_anchor"] for item in history["switches"]]


def test_slices_show_stored_heads_as_they_read_at_the_candle():
    alive = {"start_time": 60, "end_time": 500, "zg": 2.0, "zd": 1.0, "visible_time": 500}
    levels = {"algorithm": "", "levels": [], "pivots": []}
    shown = slices_of([], {"zhongshu": {"alive": [alive]}, "sr": levels})
    assert list(shown) == ["zhongshu", "sr"]
    item = shown["zhongshu"]["head"]["alive"][0]
    assert (item["end_time"], item["visible_time"]) == (1000, 1000)
    assert shown["sr"]["head"] == levels and shown["sr"]["history"] == {"snapshots": []}


def test_slices_of_a_fold_show_every_factor_in_order():
    candles = flat(*ANCHOR_PRICES)
    events, heads = facts_of(engine(1, 1), candles)
    time = candles[-1].candle_time
    shown = slices_of(events, heads[time], at_time=time)
    assert {event.factor for event in events} | set(heads[time]) <= set(shown)
    assert list(shown) == [spec.name for spec in SPECS if spec.name in shown]
    assert shown["pen"]["head"] == heads[time]["pen"]
    assert len(shown["zhongshu"]["history"]["dead"]) == 1
    anchor = {"kind": "candidate", "start_time": 480, "end_time": 600, "direction": 1}
    assert shown["anchor"]["history"]["anchors"][-1] == anchor


def test_window_starts_so_many_candles_before_but_not_before_time_began():
    assert window_start(6000, 50, MINUTE) == 3000
    assert window_start(600, 50, MINUTE) == 0
