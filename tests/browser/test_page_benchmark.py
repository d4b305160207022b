"""The benchmark of the page measures what it says: bytes, first candles, processor time, heap."""

from __future__ import annotations

import sys

import pytest

from lab.benchmarks.page_views import MANY_BOXES, View
from lab.program import Program, inherited
from lab.waiting import wait_until
from trade_canvas.embedded.server import free_port, is_port_free

pytestmark = pytest.mark.browser

PAGE = """<!doctype html><title>x</title><link rel="icon" href="data:,">
<canvas id="chart"></canvas><script src="page.js"></script>"""
ELSEWHERE = '<!doctype html><title>y</title><link rel="icon" href="data:,">'
SCRIPT = """
const root = document.getElementById("chart");
const context = root.getContext("2d");
window.boxes = (count) => { for (let n = 0; n < count; n += 1) context.fillRect(n, 0, 1, 1); };
window.work = (ms) => { for (const end = performance.now() + ms; performance.now() < end;); };
window.keep = (megabytes) => { window.kept = new Array(megabytes * 250_000).fill(0); };
root.dataset.status = "live";
"""

IN_A_FRAME = """(count) => new Promise((done) => {
    requestAnimationFrame(() => done(boxes(count)));
})"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A page and its script, as the bare server sends them."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "index.html").write_text(PAGE)
    (folder / "page.js").write_text(SCRIPT)
    (folder / "elsewhere.html").write_text(ELSEWHERE)
    port = free_port()
    command = (sys.executable, "-m", "lab.benchmarks.bare_servers", "files", str(port), str(folder))
    program = Program(
        "files",
        command,
        inherited(),
        log=folder / "files.log",
        url=f"http://127.0.0.1:{port}",
        is_ready=lambda _: not is_port_free(port),
    )
    yield program.start().wait_ready()
    program.terminate()


@pytest.fixture
def open_view(browser, served):
    """Opens the page; as a first visit, it comes from another site."""
    views = []

    def open_it(*, first: bool = False) -> View:
        elsewhere = f"{served.url.replace('127.0.0.1', 'localhost')}/elsewhere.html" * first
        views.append(View(browser, f"{served.url}/", "#chart", elsewhere=elsewhere))
        views[-1].wait_for("status", "live")
        return views[-1]

    yield open_it
    for view in views:
        view.close()


def test_view_counts_what_was_transferred(open_view):
    view = open_view()
    bodies = len(PAGE) + len(SCRIPT)
    assert bodies < view.http_bytes < bodies + 1000
    assert view.socket_bytes == 0
    assert view.largest(1)[0][1].endswith("/page.js")


def test_first_visit_comes_from_another_site_and_is_counted_alone(open_view):
    view, first = open_view(), open_view(first=True)
    visited = [each.page.evaluate("history.length") for each in (view, first)]
    assert visited[1] == visited[0] + 1
    assert first.http_bytes == view.http_bytes


def test_view_takes_many_boxes_of_one_frame_for_candles(open_view):
    view = open_view(first=True)
    for _ in range(3):
        view.page.evaluate(IN_A_FRAME, MANY_BOXES // 2)
    assert not view.page.evaluate("window.firstCandles")
    view.page.evaluate(IN_A_FRAME, MANY_BOXES)
    assert 0 < view.first_candles_ms() <= view.page.evaluate("performance.now()")


def test_view_measures_the_main_thread_of_a_first_visit(open_view):
    def measured() -> tuple[float, float] | None:
        view = open_view(first=True)
        view.page.evaluate("work(20)")
        view.page.evaluate(IN_A_FRAME, MANY_BOXES)
        passed = view.first_candles_ms()
        used = view.first_candles_thread_ms()
        return None if used is None else (used, passed)

    # The browser may begin to trace after the document has begun, but not each time.
    used, passed = wait_until(measured, what="a visit that is traced from its beginning")
    # Whatever else runs on the machine, a thread uses no more than the time that passes.
    assert 0 < used <= passed


def test_view_measures_the_processor_of_the_main_thread_and_its_heap(open_view):
    view = open_view()
    before, heap = view.spent(), view.heap_mb()
    view.page.evaluate("new Promise((done) => setTimeout(() => done(work(50))))")
    used = view.spent().since(before, 1)
    assert used.total >= used.script > 0
    view.page.evaluate("keep(8)")
    assert view.heap_mb() - heap > 4
    view.page.evaluate("window.kept = null")
    assert view.heap_mb() - heap < 4
