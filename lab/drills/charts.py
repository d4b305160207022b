"""Charts that speak UDF, in a browser, through ten minutes of faults.

The page makes the requests of the adapter that comes with TradingView's charting library, and
asserts what the library asserts (`udf_chart.js`). With `UDF_ADAPTER`, the path of the library's
`datafeeds/udf/dist/bundle.js`, that adapter makes them.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from lab.browser import ARGUMENTS, CHROMIUM
from lab.drills.ground import SERIES, Watch, drill, following_worker
from lab.exchange import seconds_of
from lab.installation import Installation
from lab.waiting import patience, wait_until

HERE = Path(__file__).parent
LIBRARY = HERE / "udf_chart.js"
CATCH_UP = HERE.parents[1] / "clients" / "udf" / "catch-up.js"
ADAPTER = "UDF_ADAPTER"
PAGE = "/chart-of-the-drill"

LASTS_S = 600.0
FAULT_S = 20.0
DOWN_S = 10.0
REST_S = 10.0
NEXT = 10
FIRST_S = 130.0
UP_TO_DATE_S = 30.0
MINUTES = "sim:futures:BTC/USDT:1m"
WATCHERS = 20

# In the page: `open` is kept so that the charts outlive the call.
OPEN = """async ({ name, ticker, resolution, options }) => {
    const { withCatchUp } = await import(CATCH_UP);
    options.catchUp = options.catchUp ? withCatchUp : undefined;
    options.adapter = globalThis.Datafeeds?.UDFCompatibleDatafeed;
    const url = `${location.origin}/udf`;
    globalThis[name] = await globalThis.udfChart.open(url, ticker, resolution, options);
}"""
SHOWN = """(name) => {
    const { bars, violations, reloads } = globalThis[name];
    const ascending = [...bars.values()].sort((one, two) => one.time - two.time);
    return { bars: ascending, violations, reloads };
}"""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of the page; with `catches_up`, behind clients/udf/catch-up.js.

    The adapter passes on two bars of a poll: alone, it is whole only if no more close between two.
    """

    name: str
    series: str
    resolution: str
    every_s: float
    bars: int
    catches_up: bool = False
    is_whole: bool = True


CHARTS = (
    Chart("adapter, minutes", MINUTES, "1", 10.0, 30),
    Chart("adapter, seconds", SERIES[0], "1S", 1.0, 60, is_whole=False),
    Chart("catching up, seconds", SERIES[0], "1S", 1.0, 60, catches_up=True),
)


@drill("udf-charts", "charts over UDF in a browser, ten minutes of faults", watchers=WATCHERS)
def udf_charts(installation: Installation, watch: Watch) -> None:
    """Web processes, worker, servers and exchange fail in turn; candles are left out, revised."""
    if MINUTES not in installation.heads():
        installation.whitelist([MINUTES])
    wait_until(lambda: MINUTES in installation.heads(), FIRST_S, f"candles of {MINUTES}")
    watch.revisions_expected = True
    with _page(installation.url) as page:
        for chart in CHARTS:
            options = {"everyMs": chart.every_s * 1000, "count": chart.bars}
            asked = {
                "name": chart.name,
                "ticker": chart.series.rpartition(":")[0],
                "resolution": chart.resolution,
                "options": options | {"catchUp": chart.catches_up},
            }
            page.evaluate(OPEN, asked)
        until = time.monotonic() + LASTS_S
        with watch.fault():
            for fault in itertools.cycle(FAULTS):
                fault(installation)
                page.wait_for_timeout(REST_S * 1000)
                if time.monotonic() >= until:
                    break
        for chart in CHARTS:
            _check(installation, watch, page, chart)


@contextmanager
def _page(url: str) -> Iterator[Page]:
    """A page on the installation's origin that has the chart, and the adapter if one is named."""
    scripts = [LIBRARY.read_text()]
    if named := os.environ.get(ADAPTER):
        scripts.append(Path(named).read_text())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        page = browser.new_page()
        page.set_default_timeout(patience(60) * 1000)
        html = {"content_type": "text/html", "body": "<!doctype html><title>charts</title>"}
        module = {"content_type": "text/javascript", "body": CATCH_UP.read_text()}
        page.route(f"{url}{PAGE}", lambda route: route.fulfill(**html))
        page.route(f"{url}{PAGE}/catch-up.js", lambda route: route.fulfill(**module))
        page.goto(f"{url}{PAGE}")
        page.evaluate(f"globalThis.CATCH_UP = '{PAGE}/catch-up.js'")
        for script in scripts:
            page.add_script_tag(content=script)
        yield page
        browser.close()


def _kill_webs(installation: Installation) -> None:
    for web in installation.webs:
        web.kill()
    time.sleep(DOWN_S)
    for web in installation.webs:
        web.start().wait_ready()


def _kill_postgres(installation: Installation) -> None:
    installation.postgres.kill()
    time.sleep(DOWN_S)
    installation.postgres.start()


def _kill_valkey(installation: Installation) -> None:
    installation.valkey.kill()
    time.sleep(DOWN_S)
    installation.valkey.start()


def _kill_worker(installation: Installation) -> None:
    killed = following_worker(installation)
    killed.kill()
    time.sleep(FAULT_S)
    killed.start().wait_ready()


def _venue(kind: str, lasts_s: float = FAULT_S, **details: Any) -> Callable[[Installation], None]:
    def disturb(installation: Installation) -> None:
        installation.exchange.fault(kind, **details)
        time.sleep(lasts_s)

    return disturb


def _away(installation: Installation) -> None:
    installation.exchange.fault("drop_connections", abort=True, duration_s=FAULT_S)
    installation.exchange.fault("rest_status", status=503, duration_s=FAULT_S)
    time.sleep(FAULT_S)


FAULTS: tuple[Callable[[Installation], None], ...] = (
    _kill_webs,
    _venue("revise", DOWN_S, last=NEXT, factor=1.01, push=True),
    _venue("silent", duration_s=FAULT_S),
    _kill_worker,
    _venue("omit", next=NEXT),
    _kill_postgres,
    _venue("reorder", duration_s=FAULT_S),
    _away,
    _kill_valkey,
    _venue("duplicate", times=3, duration_s=FAULT_S),
)


def _check(installation: Installation, watch: Watch, page: Page, chart: Chart) -> None:
    """Compare the bars of a chart with the exchange's candles, once it has the newest."""
    newest = max(each["candle_time"] for each in _truth(installation, chart, 0))
    shown: dict[str, Any] = {}

    def is_up_to_date() -> bool:
        nonlocal shown
        page.wait_for_timeout(500)
        shown = page.evaluate(SHOWN, chart.name)
        return bool(shown["bars"][-1]["time"] >= newest * 1000)

    wait_until(is_up_to_date, UP_TO_DATE_S, f"the chart '{chart.name}' to be up to date")
    bars = {bar["time"] // 1000: bar for bar in shown["bars"]}
    truth = {
        each["candle_time"]: each
        for each in _truth(installation, chart, min(bars))
        if each["candle_time"] <= max(bars)
    }
    missing = truth.keys() - bars.keys()
    watch.expect(not bars.keys() - truth.keys(), f"{chart.name}: bars that are no candles")
    for violation in shown["violations"]:
        watch.expect(False, f"{chart.name}: {violation}")
    watch.out_of_order += len(shown["violations"])
    if chart.is_whole:
        watch.lost += len(missing)
    if chart.catches_up:
        watch.wrong += sum(
            any(bars[at][name] != each[name] for name in ("open", "high", "low", "close", "volume"))
            for at, each in truth.items()
            if at in bars
        )
    watch.delivered += len(bars)
    watch.note(
        f"{chart.name}: {len(bars)} bars, {len(missing)} missing,"
        f" {len(shown['violations'])} violations, {shown['reloads']} reloads"
    )


def _truth(installation: Installation, chart: Chart, first: int) -> list[dict[str, Any]]:
    """The exchange's closed candles from a time on; its last few without one."""
    now = int(time.time())
    start = first or now - 10 * seconds_of(chart.series)
    return installation.truth(chart.series, start, now)
