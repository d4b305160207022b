"""The zhongshu state machine, fed with pens and candles directly."""

import pytest

from factors.domain.pen import Pen
from factors.domain.tests.recordings import MINUTE, engine, flat
from factors.domain.zhongshu import apply_candle, apply_pen, carry, initial
from tests.recordings import vector_json

UNIT_CASES = vector_json("zhongshu_unit_cases.json")["cases"]


class Log:
    """Formations and deaths, tick by tick."""

    def __init__(self):
        self.state = initial(None)
        self.entries = []

    def pen(self, pen, tick):
        death = apply_pen(self.state, pen)
        if death is not None:
            self.entries.append({"tick": tick, "what": "dead", "value": death})
        self._formed(tick, "pen")

    def candle(self, time, high, low):
        apply_candle(self.state, time, high, low=low)
        self._formed(time, "candle")

    def _formed(self, tick, by):
        for entry in self.state.formed:
            times = {"entry_start_time": entry.start_time, "entry_end_time": entry.end_time}
            self.entries.append({"tick": tick, "what": "formed", "by": by, **times})
        self.state.formed = ()


def run(case):
    log, pens = Log(), [Pen(**pen) for pen in case["pens"]]
    for time, high, low in case["candles_time_high_low"]:
        while pens and pens[0].visible_time <= time:
            log.pen(pens.pop(0), time)
        log.candle(time, high, low)
    return log


def alive_object(state, last_time):
    alive = state.alive
    return alive and {
        "start_time": alive.start_time,
        "end_time": alive.end_time,
        "zg": alive.zg,
        "zd": alive.zd,
        "entry_direction": alive.entry_direction,
        "formed_time": alive.formed_time,
        "formed_reason": alive.formed_reason,
        "last_seen_visible_time": last_time,
        "awaiting_p3_confirm": alive.awaiting,
        "p3_start_time": alive.p3_start,
    }


@pytest.mark.parametrize("case", UNIT_CASES, ids=lambda case: case["name"])
def test_zhongshu_equals_the_unit_case(case):
    log = run(case)
    last_time = case["candles_time_high_low"][-1][0]
    assert log.entries == case["log"]
    assert alive_object(log.state, last_time) == case["alive_at_end"]


def test_zhongshu_ignores_crossings_before_the_second_pen_is_visible():
    log = run({"pens": UNIT_CASES[0]["pens"][:3], "candles_time_high_low": [[500, 17, 13]]})
    assert log.state.alive is None and log.state.pending is None


def test_zhongshu_head_ends_at_the_candle_it_is_read_at():
    head = {"alive": [{"start_time": 1, "end_time": 5, "zg": 2.0, "visible_time": 5}]}
    moved = {"alive": [{"start_time": 1, "end_time": 9, "zg": 2.0, "visible_time": 9}]}
    assert carry(head, 9) == moved
    assert carry({"alive": []}, 9) == {"alive": []}


def test_zhongshu_tells_its_empty_head_with_the_first_pen():
    folding = engine(1, 1)
    state = folding.initial(MINUTE)
    prices = [12.0, 10.0, 20.0, 14.0, 18.0]
    heads = [
        head
        for result in folding.fold(state, flat(*prices))
        for head in result.heads
        if head.factor == "zhongshu"
    ]
    assert [(head.candle_time, head.head) for head in heads] == [(300, {"alive": []})]
