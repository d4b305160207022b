from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from lab.capacity.gate import Thresholds, judge, judge_pages
from lab.capacity.measure import Raw, Window, delays
from lab.capacity.report import RecordError, Report, beside, record, recorded, write_report
from lab.capacity.resources import Sample
from lab.capacity.stored import Stored
from lab.capacity.tests.test_gate import FAST, GOOD, PAGES
from lab.crowd_process import Received
from lab.plots import line_plot, nice

SERIES = "sim:spot:BTC/USDT:1s"
RAW = Raw(
    received=Received(arrivals={(SERIES, 100): [101.3, 101.4], (SERIES, 200): [201.5]}),
    stored=Stored({(SERIES, 100): 101.2, (SERIES, 200): 201.1}),
    window=Window(before=90, start=100, end=110, cut=120),
    samples=[Sample(90.0 + each, "web-1", each / 10, 10**8) for each in range(5)],
)


def report_of(measured, pages=None):
    return Report(
        command="manage.py capacity",
        began="2026-01-01 00:00 UTC",
        facts={"revision": "abc", "load before": "0.01"},
        measured=measured,
        checks=judge(measured, Thresholds()),
        pages=pages,
        page_checks=judge_pages(pages, measured, Thresholds()) if pages else (),
    )


def test_delays_are_those_of_the_steady_part():
    commit, close = delays(RAW.received.arrivals, RAW.stored, RAW.window)
    assert list(commit) == list(close) == [101]
    assert commit[101] == pytest.approx([0.1, 0.2])
    assert close[101] == pytest.approx([0.3, 0.4])


def test_report_has_its_verdict_and_figures_in_every_file(tmp_path):
    write_report(tmp_path, report_of(replace(GOOD, bare=FAST)), RAW)
    text = (tmp_path / "report.md").read_text()
    assert text.startswith("# Capacity: PASSED")
    assert "| bare broadcast loop: sent to watcher | 1000 |" in text
    assert json.loads((tmp_path / "measured.json").read_text())["measured"]["watchers"] == 500
    assert (tmp_path / "latencies.csv").read_text().splitlines()[1].startswith(f"{SERIES},100,101")
    assert len((tmp_path / "usage.csv").read_text().splitlines()) == 6


def test_report_names_what_failed(tmp_path):
    report = report_of(replace(GOOD, unstored=3))
    write_report(tmp_path, report, RAW)
    assert not report.passed
    assert "FAILED: the exchange's candles stored" in (tmp_path / "report.html").read_text()


def test_report_has_both_crowds_side_by_side(tmp_path):
    write_report(tmp_path, report_of(GOOD, PAGES), RAW, RAW)
    lines = (tmp_path / "report.md").read_text().splitlines()
    assert lines[0] == "# Capacity: PASSED"
    assert "| what | sockets | pages | threshold | kept |" in lines
    assert "| p95 from commit to watcher | 20.0 ms | 20.0 ms | at most 250 ms | yes |" in lines
    assert "| p95 from commit to drawings at a page |  | 20.0 ms | at most 500 ms | yes |" in lines
    assert "| web-1 | 0.100 | 100.0 | 110.0 | 0.250 | 100.0 | 110.0 |" in lines
    assert (tmp_path / "page-latencies.csv").exists()


def test_report_names_the_crowd_that_failed(tmp_path):
    slow = replace(PAGES.drawings, from_commit=replace(FAST, p95=501.0))
    report = report_of(GOOD, replace(PAGES, drawings=slow))
    assert not report.passed
    assert report.verdict == "FAILED: pages: p95 from commit to drawings at a page"


def test_tables_beside_each_other_keep_rows_that_only_one_has():
    left = [("what", "a", "b"), ("x", "1", "2"), ("y", "3", "4")]
    right = [("what", "c"), ("y", "5"), ("z", "6")]
    assert beside(left, right) == [
        ("what", "sockets: a", "sockets: b", "pages: c"),
        ("x", "1", "2", ""),
        ("y", "3", "4", "5"),
        ("z", "", "", "6"),
    ]


def test_report_page_loads_nothing(tmp_path):
    write_report(tmp_path, report_of(GOOD), RAW)
    found = []

    class Links(HTMLParser):
        def handle_starttag(self, tag, attributes):
            names = dict(attributes).keys() & {"src", "href", "srcset"}
            found.extend([tag] if names or tag in ("script", "link") else [])

    Links().feed((tmp_path / "report.html").read_text())
    assert found == []


def test_plot_keeps_every_point_within_its_frame():
    text = line_plot("title", {"a": [(0, 0), (7, 13)], "b": []}, x="seconds", y="ms")
    lines = ElementTree.fromstring(text).findall("{*}polyline")
    points = [tuple(map(float, pair.split(","))) for pair in lines[0].get("points").split()]
    assert all(0 < x < 860 and 0 < y < 300 for x, y in points)


@pytest.mark.parametrize(("most", "round_number"), [(0, 1), (7, 10), (0.3, 0.5), (130, 200)])
def test_axis_ends_at_a_round_number(most, round_number):
    assert nice(most) == pytest.approx(round_number)


def test_record_replaces_only_its_own_part(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "a\n<!-- gate -->\nformer\n<!-- /gate -->\nb\n<!-- limit -->\n<!-- /limit -->\n"
    )
    record(page, "gate", recorded(report_of(GOOD)))
    text = page.read_text()
    assert "former" not in text and "**PASSED**" in text
    assert text.startswith("a\n") and text.endswith("b\n<!-- limit -->\n<!-- /limit -->\n")


def test_record_refuses_a_page_without_its_markers(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("nothing")
    with pytest.raises(RecordError):
        record(page, "gate", "figures")
