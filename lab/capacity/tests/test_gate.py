from __future__ import annotations

from dataclasses import replace

import pytest

from lab.browser_drawings import MISSED
from lab.capacity.figures import (
    Asked,
    Counted,
    Drawings,
    Joining,
    Loading,
    Measured,
    Spread,
    Use,
    percentile,
    timeline,
)
from lab.capacity.gate import Thresholds, judge, judge_pages
from lab.crowd_process import DIFFERING
from lab.ledger import Tally

FAST = Spread(1000, 10.0, 20.0, 30.0, 40.0)
GOOD = Measured(
    watchers=500,
    instances=2,
    series=20,
    series_each=1,
    seconds=60,
    subscribed=Joining(500, 500, FAST),
    tally=Tally(expected=10_000, delivered=10_000),
    truth=1200,
    unstored=0,
    from_commit=FAST,
    from_close=FAST,
    frames_per_second=500,
    uses=(Use("web-1", 0.1, 100, 110), Use("web-2", 0.2, 100, 120), Use("worker", 0.5, 100, 100)),
    timeline=(),
    reconnected=Joining(500, 500, FAST),
    pages=Loading(500, 500, FAST, 2.0, 10.0),
    counted=Counted(9000, 9000, 9000),
)
PAGES = replace(
    GOOD,
    kind="pages",
    drawings=Drawings(Tally(expected=10_000, delivered=9_990, recovered=10), FAST),
    asked=Asked({"/api/market/whitelist": 1.0}, 12.0),
    uses=(Use("web-1", 0.25, 100, 110), Use("web-2", 0.3, 100, 120), Use("worker", 9, 100, 100)),
)


def failed(measured):
    return [check.name for check in judge(measured, Thresholds()) if not check.passed]


def tallied(**more):
    return replace(GOOD, tally=replace(GOOD.tally, **more))


def test_gate_passes_a_run_without_a_fault():
    assert failed(GOOD) == []
    assert len(judge(GOOD, Thresholds())) == 11


@pytest.mark.parametrize(
    ("measured", "name"),
    [
        (replace(GOOD, subscribed=Joining(500, 499, FAST)), "watchers subscribed"),
        (replace(GOOD, unstored=1), "the exchange's candles stored"),
        (replace(GOOD, truth=0), "the exchange's candles stored"),
        (tallied(delivered=9_999), "stored candles delivered to every watcher"),
        (tallied(delivered=0, expected=0), "stored candles delivered to every watcher"),
        (tallied(duplicates=1), "duplicates"),
        (tallied(disorder=1), "candles out of order"),
        (tallied(phantom=1), "candles delivered that are not stored"),
        (replace(GOOD, from_commit=replace(FAST, p95=250.1)), "p95 from commit to watcher"),
        (replace(GOOD, from_commit=Spread.of([])), "p95 from commit to watcher"),
        (replace(GOOD, from_close=replace(FAST, p95=1000.1)), "p95 from close to watcher"),
        (
            replace(GOOD, reconnected=Joining(500, 499, FAST)),
            "watchers back after the reconnect storm",
        ),
        (replace(GOOD, pages=Loading(500, 499, FAST, 2, 1)), "pages whole in the page-load storm"),
        (
            replace(GOOD, counted=Counted(9001, 9000, 9000)),
            "candles by which metrics and watchers disagree",
        ),
        (
            replace(GOOD, counted=Counted(9000, 9001, 9000)),
            "candles by which metrics and watchers disagree",
        ),
    ],
)
def test_gate_fails_with_one_reason_for_each_fault(measured, name):
    assert failed(measured) == [name]


def failed_pages(pages, sockets=GOOD):
    return [check.name for check in judge_pages(pages, sockets, Thresholds()) if not check.passed]


def test_gate_passes_pages_without_a_fault():
    assert failed_pages(PAGES) == []
    assert len(judge_pages(PAGES, GOOD, Thresholds())) == len(judge(GOOD, Thresholds())) + 5


@pytest.mark.parametrize(
    ("pages", "name"),
    [
        (
            replace(PAGES, drawings=Drawings(Tally(expected=10_000, missing=1), FAST)),
            "drawings of stored candles at every page",
        ),
        (
            replace(PAGES, drawings=Drawings(Tally(), FAST)),
            "drawings of stored candles at every page",
        ),
        (
            replace(PAGES, drawings=replace(PAGES.drawings, from_commit=replace(FAST, p95=500.1))),
            "p95 from commit to drawings at a page",
        ),
        (
            replace(PAGES, drawings=replace(PAGES.drawings, from_commit=Spread.of([]))),
            "p95 from commit to drawings at a page",
        ),
        (replace(PAGES, counts={MISSED: 1}), MISSED),
        (replace(PAGES, counts={DIFFERING: 1}), DIFFERING),
        (
            replace(PAGES, uses=(Use("web-1", 0.601, 100, 110),)),
            "processor of web processes, times that for as many sockets",
        ),
        (replace(PAGES, subscribed=Joining(500, 499, FAST)), "watchers subscribed"),
    ],
)
def test_gate_fails_pages_with_one_reason_for_each_fault(pages, name):
    assert failed_pages(pages) == [name]


def test_gate_fails_pages_without_a_measurement_of_the_sockets_cost():
    sockets = replace(GOOD, uses=())
    assert failed_pages(PAGES, sockets) == [
        "processor of web processes, times that for as many sockets"
    ]


def test_requests_are_shares_of_one_page_and_minute():
    counts = {"requests /api/delta/poll": 300, "bytes over HTTP": 600_000, "candles": 7}
    assert Asked.of(counts, 100, 1.5) == Asked({"/api/delta/poll": 2.0}, 4.0)


def test_gate_shows_one_missing_of_a_million():
    missing = tallied(expected=10_000_000, delivered=9_999_999)
    shown = [check.measured for check in judge(missing, Thresholds()) if not check.passed]
    assert shown == ["99.9999 %"]


def test_costs_per_thousand_are_of_web_processes_only():
    costs = GOOD.per_thousand()
    assert costs["cores"] == pytest.approx(0.6)
    assert costs["megabytes"] == pytest.approx(60)


def test_spread_is_in_milliseconds():
    spread = Spread.of([each / 1000 for each in range(1, 101)])
    assert (spread.count, spread.p50, spread.p95, spread.longest) == (100, 50, 95, 100)


def test_percentile_of_one_value_is_that_value():
    assert [percentile([7.0], share) for share in (0.0, 0.5, 1.0)] == [7.0, 7.0, 7.0]


def test_timeline_has_a_moment_a_second_in_order():
    moments = timeline({2: [0.002], 1: [0.001, 0.003]})
    assert [(moment.second, moment.longest) for moment in moments] == [(1, 3.0), (2, 2.0)]
