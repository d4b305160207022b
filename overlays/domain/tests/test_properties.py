"""What must hold for any candles: drawn at random, with ties, gaps and small pivot windows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from market.domain.candle import Candle
from overlays.domain.delta import draw_delta
from overlays.domain.instruction import POINT
from overlays.domain.tests.drawing import Drawing

# Few distinct prices, so that ties, plateaus and candles that are both pivots are common.
prices = st.integers(1, 25).map(float)
rows = st.lists(st.tuples(st.sampled_from([1, 1, 1, 1, 1, 1, 3]), prices, prices), max_size=90)
BOUNDED = {"anchor", "pen", "sr", "zhongshu"}
windows = st.sampled_from([(1, 1), (2, 1), (3, 2)])


@st.composite
def candles(draw):
    """Ascending minute candles; now and then some minutes are missing."""
    time, made = 0, []
    for step, first, second in draw(rows):
        time += 60 * step
        low, high = min(first, second), max(first, second)
        made.append(Candle(time, first, high, low, second, 1.0))
    return made


def delta_of(drawing, *, cursor, to_time, window):
    """The delta for a client: active ids and the patch behind its cursor."""
    cutoff = max(0, to_time - window * 60)
    return draw_delta(drawing.versions, cursor=cursor, to_time=to_time, cutoff=cutoff)


@given(candles(), windows, st.sets(st.integers(0, 90)))
def test_batches_and_changes_of_worker_do_not_matter(made, sizes, handovers):
    major, minor = sizes
    whole = Drawing(major=major, minor=minor, window=20).take(made)
    split = Drawing(major=major, minor=minor, window=20)
    for position, candle in enumerate(made):
        if position in handovers:
            split.pass_on()
        split.step(candle)
    assert split.changes == whole.changes


@given(candles(), windows, st.sampled_from([3, 20, 2000]))
def test_what_is_drawn_at_a_candle_never_changes(made, sizes, window):
    major, minor = sizes
    drawing = Drawing(major=major, minor=minor, window=20)
    live = []
    for candle in made:
        drawing.step(candle)
        live.append(delta_of(drawing, cursor=0, to_time=candle.candle_time, window=window))
    assert live == [
        delta_of(drawing, cursor=0, to_time=time, window=window) for time in drawing.times
    ]


@given(candles(), windows, st.sets(st.integers(0, 90)))
def test_deltas_applied_one_after_the_other_equal_a_fresh_read(made, sizes, skipped):
    major, minor = sizes
    drawing = Drawing(major=major, minor=minor, window=20)
    catalog, cursor = {}, 0
    for position, candle in enumerate(made):
        drawing.step(candle)
        if position in skipped:
            continue
        delta = delta_of(drawing, cursor=cursor, to_time=candle.candle_time, window=10)
        catalog |= {version.instruction_id: version.definition for version in delta.patch}
        cursor = delta.next_cursor
        cutoff = max(0, candle.candle_time - 600)
        fresh = draw_delta(
            drawing.versions, cursor=0, to_time=candle.candle_time, cutoff=cutoff, fresh_limit=0
        )
        shown = {version.instruction_id: version.definition for version in fresh.patch}
        assert {name: catalog[name] for name in delta.active_ids} == shown
        assert fresh.active_ids == delta.active_ids


@given(candles(), windows)
def test_withdrawn_instructions_are_never_active(made, sizes):
    major, minor = sizes
    drawing = Drawing(major=major, minor=minor, window=20)
    definitions = {}
    for candle in made:
        for change in drawing.step(candle):
            definitions[change.instruction_id] = change.definition
        active = delta_of(drawing, cursor=0, to_time=candle.candle_time, window=2000).active_ids
        assert set(active) == {name for name, definition in definitions.items() if definition}


@given(candles(), windows, st.sampled_from([1, 3, 10, 2000]))
def test_integrity_holds_at_every_candle(made, sizes, window):
    major, minor = sizes
    drawing = Drawing(major=major, minor=minor, window=20)
    for candle in made:
        drawing.step(candle)
        assert drawing.mismatches(window=window) == []


@given(candles(), windows)
def test_candle_changes_an_instruction_once_and_never_to_the_same(made, sizes):
    major, minor = sizes
    drawing = Drawing(major=major, minor=minor, window=20)
    before = {}
    for candle in made:
        # A point of a line comes beside the line's own version.
        changes = [change for change in drawing.step(candle) if change.kind != POINT]
        names = [change.instruction_id for change in changes]
        assert len(names) == len(set(names))
        for change in changes:
            assert before.get(change.instruction_id, {}) != change.definition
            before[change.instruction_id] = change.definition


@given(candles(), windows)
def test_drawings_stay_bounded(made, sizes):
    major, minor = sizes
    drawing = Drawing(major=major, minor=minor, window=20).take(made)
    assert len(drawing.state.states["anchor"].earlier) <= 7
    levels = len(drawing.heads.get("sr", {"levels": []})["levels"])
    strokes, edges, anchors = 3, 2, 1 + 7
    drawn = [name for name in drawing.state.sheet.drawn if name.partition(".")[0] in BOUNDED]
    assert len(drawn) <= levels + strokes + edges + anchors
