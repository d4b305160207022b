"""Drawings against the contract's rules applied from scratch to the whole ledger at every candle.

The renderers carry small states from candle to candle; here nothing is carried.
"""

from __future__ import annotations

from hypothesis import given

from overlays.domain.tests.drawing import Drawing
from overlays.domain.tests.test_properties import candles, windows
from tests.examples import examples

WINDOW = 20


def shown(drawing, feature):
    """What is drawn of a feature after the newest candle, by id."""
    now = drawing.times[-1]
    return {
        version.instruction_id: version.definition
        for version in drawing.versions.newest(now, cutoff=0)
        if version.instruction_id.partition(":")[0] == feature
    }


def payloads(drawing, kind):
    return [event.payload for event in drawing.events if event.kind == kind]


def pairs(definition):
    return [(point["time"], point["value"]) for point in definition["points"]]


def each_candle(made, sizes):
    """The drawing after each candle."""
    major, minor = sizes
    drawing = Drawing(major=major, minor=minor, window=WINDOW)
    for candle in made:
        drawing.step(candle)
        yield drawing


def pens_by_rule(drawing):
    cutoff = max(0, drawing.times[-1] - WINDOW * 60)
    points = []
    for pen in payloads(drawing, "pen.confirmed"):
        if pen["end_time"] >= cutoff:
            if not points or points[-1][0] != pen["start_time"]:
                points.append((pen["start_time"], pen["start_price"]))
            points.append((pen["end_time"], pen["end_price"]))
    return points


def history_by_rule(drawing, current):
    by_time = {switch["switch_time"]: switch for switch in payloads(drawing, "anchor.switch")}
    first = {}
    for switch in by_time.values():
        first.setdefault(switch["new_anchor"]["start_time"], switch)
    return {
        "anchor.history:{}:{start_time}:{end_time}:{direction}".format(
            switch["switch_time"], **switch["new_anchor"]
        )
        for start, switch in first.items()
        if start != current["start_time"]
    }


def levels_by_rule(head):
    return {
        "sr.{}:{level_type}:{price:.8f}:{first_time}".format(
            "broken" if level["status"] == "broken" else "active", **level
        )
        for level in head["levels"]
    }


@given(candles(), windows)
def test_line_of_pens_follows_the_rule(made, sizes):
    for drawing in each_candle(made, sizes):
        line = shown(drawing, "pen.confirmed").get("pen.confirmed")
        assert ([] if line is None else pairs(line)) == pens_by_rule(drawing)


@given(candles(), windows)
def test_strokes_follow_the_head(made, sizes):
    for drawing in each_candle(made, sizes):
        head = drawing.heads.get("pen", {})
        for part in ("extending", "candidate"):
            feature = f"pen.{part}"
            drawn = {name: pairs(line) for name, line in shown(drawing, feature).items()}
            stroke = head.get(part)
            assert drawn == (
                {}
                if stroke is None
                else {
                    feature: [
                        (stroke["start_time"], stroke["start_price"]),
                        (stroke["end_time"], stroke["end_price"]),
                    ]
                }
            )


@examples(2.5)
@given(candles(), windows)
def test_anchors_follow_the_rule(made, sizes):
    for drawing in each_candle(made, sizes):
        current = drawing.heads.get("anchor", {}).get("current_anchor_ref")
        if current is None:
            assert shown(drawing, "anchor.current") == shown(drawing, "anchor.history") == {}
            continue
        (line,) = shown(drawing, "anchor.current").values()
        assert pairs(line)[0][0] == current["start_time"]
        assert set(shown(drawing, "anchor.history")) == history_by_rule(drawing, current)


@examples(2.5)
@given(candles(), windows)
def test_anchors_are_drawn_along_their_pens(made, sizes):
    for drawing in each_candle(made, sizes):
        current = drawing.heads.get("anchor", {}).get("current_anchor_ref")
        if current is None:
            continue
        (line,) = shown(drawing, "anchor.current").values()
        pens = {
            (pen["start_time"], pen["direction"]): pen["end_time"]
            for pen in payloads(drawing, "pen.confirmed")
        }
        confirmed = pens.get((current["start_time"], current["direction"]))
        assert pairs(line)[1][0] == (current["end_time"] if confirmed is None else confirmed)
        assert ("lineStyle" in line) == (confirmed is None)


@given(candles(), windows)
def test_levels_follow_the_newest_snapshot(made, sizes):
    for drawing in each_candle(made, sizes):
        drawn = {**shown(drawing, "sr.active"), **shown(drawing, "sr.broken")}
        assert set(drawn) == levels_by_rule(drawing.heads.get("sr", {"levels": []}))
