"""The capacity gate: passes a sound build, and fails each planted fault for its own reason.

Short here, with one fault; `make prove` takes longer and plants them all. Nothing is asserted about
how fast a sound build is: only a planted delay is held to a limit that it must exceed.
"""

from __future__ import annotations

import math
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path

import pytest

from lab.browser_drawings import MISSED
from lab.capacity.gate import Thresholds, judge, judge_pages
from lab.capacity.measure import Run, measure
from lab.capacity.session import open_installation, run_gate
from lab.capacity.tests import test_gate
from lab.exchange import local_series
from tests.examples import IS_THOROUGH
from tests.planted_web import DELAY_S

PAGE = Path(__file__).parents[1] / "docs" / "capacity.md"
AT_ANY_SPEED = Thresholds(
    commit_p95_ms=math.inf,
    close_p95_ms=math.inf,
    drawn_p95_ms=math.inf,
    times_sockets=math.inf,
)
BELOW_THE_DELAY = {
    "delay": replace(AT_ANY_SPEED, commit_p95_ms=900 * DELAY_S),
    "delay-drawings": replace(AT_ANY_SPEED, drawn_p95_ms=900 * DELAY_S),
}
SHORT = {"page_candles": 200, "settle_s": 1.0}
WATCHERS, SECONDS, SERIES = (200, 30, 20) if IS_THOROUGH else (30, 6, 6)
CLEAN = Run(watchers=WATCHERS, seconds=SECONDS, metrics=True, pages=IS_THOROUGH, **SHORT)
# Enough frames of closed candles that one of 10,000 is among them: 20 a second to each watcher.
MANY = Run(watchers=110, seconds=9, series_each=20, processes=1, storms=False, **SHORT)
FEW = Run(watchers=20, seconds=7, processes=1, storms=False, **SHORT)
PAGES = replace(FEW, pages=True)
FAULTS = {"delay": (FEW, "p95 from commit to watcher"), "drop-drawings": (PAGES, MISSED)}
if IS_THOROUGH:
    FAULTS["drop"] = (MANY, "stored candles delivered to every watcher")
    FAULTS["double"] = (MANY, "duplicates")
    FAULTS["delay-drawings"] = (PAGES, "p95 from commit to drawings at a page")


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    logs = tmp_path_factory.mktemp("logs")
    with open_installation(
        local_series(SERIES), history=SHORT["page_candles"], logs=logs
    ) as running:
        yield running


def failed(checks):
    return [check.name for check in checks if not check.passed]


@pytest.mark.prove
def test_gate_passes_a_sound_build_and_writes_its_report(installation, tmp_path):
    facts = {"revision": "this one", "load before": "unknown"}
    report = run_gate(
        installation,
        CLEAN,
        tmp_path,
        command="manage.py capacity",
        facts=facts,
        thresholds=AT_ANY_SPEED,
        progress=print,
    )
    assert failed(report.checks) == [], report.measured
    assert failed(report.page_checks) == [], report.pages
    assert (report.pages is not None) == IS_THOROUGH
    assert report.measured.tally.expected > WATCHERS * SECONDS / 2
    assert report.measured.counted.came > WATCHERS * SECONDS / 2
    assert report.measured.reconnected.live == report.measured.pages.whole == WATCHERS
    expected = {"report.md", "report.html", "measured.json", "latencies.csv", "usage.csv"}
    if IS_THOROUGH:
        expected |= {"page-latencies.csv", "page-usage.csv"}
    assert {path.name for path in tmp_path.iterdir()} == expected


@pytest.mark.prove
def test_gate_fails_each_planted_fault_for_its_own_reason(installation):
    command = [sys.executable, "-m", "tests.planted_web"]
    webs = {fault: installation.web(wait=False, command=[*command, fault]) for fault in FAULTS}
    for web in webs.values():
        web.wait_ready()

    def checks_of(fault):
        run, _ = FAULTS[fault]
        measured, _ = measure(installation, run, progress=print, urls=(webs[fault].url,))
        return judge(measured, BELOW_THE_DELAY.get(fault, AT_ANY_SPEED))

    with ThreadPoolExecutor(len(FAULTS)) as pool:
        found = dict(zip(FAULTS, pool.map(checks_of, FAULTS), strict=True))
    for web in webs.values():
        web.terminate()
    assert {fault: failed(checks) for fault, checks in found.items()} == {
        fault: [reason] for fault, (_, reason) in FAULTS.items()
    }


def test_page_states_the_thresholds_of_the_gate():
    rows = re.findall(r"^\| (.+) \| (at (?:most|least) .+) \|$", PAGE.read_text(), re.MULTILINE)
    stated = dict(rows[: len(fields(Thresholds)) + 1])
    assert stated == {
        check.name: check.bound
        for check in judge_pages(test_gate.PAGES, test_gate.GOOD, Thresholds())
    }
