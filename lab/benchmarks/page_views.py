"""Pages in Chromium as the benchmark of the page measures them, over the DevTools protocol."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import orjson
from playwright.sync_api import Browser, CDPSession, Page, ViewportSize

from lab.waiting import patience, wait_until

SCREEN: ViewportSize = {"width": 1440, "height": 900}
OPEN_S = 30.0
MANY_BOXES = 100
"""Candles are boxes, many in one frame; a grid or an axis is not made of them."""
NOTE_FIRST_CANDLES = """() => {
    performance.mark("documentBegins");
    const fillRect = CanvasRenderingContext2D.prototype.fillRect;
    let boxes = 0, frame = null;
    CanvasRenderingContext2D.prototype.fillRect = function (...box) {
        const { currentTime } = document.timeline;
        if (frame !== currentTime) [boxes, frame] = [0, currentTime];
        boxes += 1;
        if (boxes === %d && window.firstCandles === undefined)
            window.firstCandles = performance.mark("firstCandles").startTime;
        return fillRect.apply(this, box);
    };
}"""


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of processor that the main thread of a page has used, in all and in parts."""

    total: float
    script: float
    layout: float

    def since(self, before: Spent, count: int) -> Spent:
        """Return what each of `count` steps has used since `before`."""
        return Spent(
            (self.total - before.total) / count,
            (self.script - before.script) / count,
            (self.layout - before.layout) / count,
        )


class View:
    """A page in a browser context of its own: nothing is cached, and its process is its own.

    `root` selects the element with the data attributes. With `elsewhere`, the address of a page of
    another site, it is a first visit that comes from there, and the first candles are noted.
    """

    def __init__(self, browser: Browser, url: str, root: str, *, elsewhere: str = "") -> None:
        self._browser = browser
        self._context = browser.new_context(viewport=SCREEN, timezone_id="UTC", locale="en-GB")
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(1000 * patience(OPEN_S))
        self._root = root
        self._received: Counter[str] = Counter()
        self._frames = 0
        self._addresses: dict[str, str] = {}
        self._is_traced = bool(elsewhere)
        self.cdp: CDPSession = self._context.new_cdp_session(self.page)
        self._listen()
        if elsewhere:
            self.page.add_init_script(f"({NOTE_FIRST_CANDLES % MANY_BOXES})()")
            self.page.goto(elsewhere)
            self._received.clear()
            browser.start_tracing(page=self.page, categories=["blink.user_timing"])
        self.page.goto(url)

    def _listen(self) -> None:
        listeners = {
            "Network.requestWillBeSent": self._requested,
            "Network.dataReceived": self._data_received,
            "Network.loadingFinished": self._finished,
            "Network.webSocketFrameReceived": self._frame_received,
        }
        for name, listener in listeners.items():
            self.cdp.on(name, listener)
        self.cdp.send("Network.enable")
        # The processor's time: what other programs use of it does not count.
        self.cdp.send("Performance.enable", {"timeDomain": "threadTicks"})

    def _requested(self, event: dict[str, Any]) -> None:
        self._addresses[event["requestId"]] = event["request"]["url"]

    def _data_received(self, event: dict[str, Any]) -> None:
        self._received[event["requestId"]] += event["encodedDataLength"]

    def _finished(self, event: dict[str, Any]) -> None:
        self._received[event["requestId"]] = int(event["encodedDataLength"])

    def _frame_received(self, event: dict[str, Any]) -> None:
        self._frames += len(event["response"]["payloadData"].encode())

    @property
    def http_bytes(self) -> int:
        """Bytes of answers so far, with their headers, as they were transferred."""
        self.page.evaluate("0")  # Events are received during a call only.
        return sum(self._received.values())

    @property
    def socket_bytes(self) -> int:
        """Bytes of messages that came over the socket so far."""
        self.page.evaluate("0")
        return self._frames

    def largest(self, count: int) -> list[tuple[int, str]]:
        """Return the addresses that transferred the most bytes."""
        by_path: Counter[str] = Counter()
        for request, size in self._received.items():
            by_path[self._addresses.get(request, "").partition("?")[0].partition("//")[2]] += size
        return [(size, path) for path, size in by_path.most_common(count)]

    def fact(self, name: str) -> str:
        """Return a data attribute of the root, such as ``last-time``; empty without one."""
        return self.page.get_attribute(self._root, f"data-{name}") or ""

    def wait_for(self, name: str, value: str) -> None:
        """Wait until a data attribute has a value."""
        self.page.wait_for_selector(f'{self._root}[data-{name}="{value}"]', state="attached")

    def first_candles_ms(self) -> float:
        """Return when the first candles were drawn, counted from the start of the navigation."""
        read = "() => window.firstCandles ?? 0"
        return float(wait_until(lambda: self.page.evaluate(read), OPEN_S, "candles on the page"))

    def first_candles_thread_ms(self) -> float | None:
        """Return what the main thread used from the start of the document to the first candles.

        To be called once, when they are drawn. None where the trace does not have both: now and
        then the browser begins to trace a new process after its document has begun.
        """
        events = orjson.loads(self._stop_tracing())["traceEvents"]
        used = {event["name"]: float(event["tts"]) for event in events if "tts" in event}
        if not used.keys() >= {"documentBegins", "firstCandles"}:
            return None
        return (used["firstCandles"] - used["documentBegins"]) / 1000

    def _stop_tracing(self) -> bytes:
        self._is_traced = False
        return self._browser.stop_tracing()

    def spent(self) -> Spent:
        """Return what the main thread has used so far."""
        found = self._metrics()
        layout = found["LayoutDuration"] + found["RecalcStyleDuration"]
        return Spent(found["TaskDuration"], found["ScriptDuration"], layout)

    def heap_mb(self) -> float:
        """Return the size of the JavaScript heap without garbage, megabytes."""
        for _ in range(2):
            self.cdp.send("HeapProfiler.collectGarbage")
        return float(self._metrics()["JSHeapUsedSize"]) / 1e6

    def _metrics(self) -> dict[str, float]:
        metrics = self.cdp.send("Performance.getMetrics")["metrics"]
        return {each["name"]: each["value"] for each in metrics}

    def close(self) -> None:
        """Close the page and forget what it cached."""
        if self._is_traced:
            self._stop_tracing()
        self._context.close()
