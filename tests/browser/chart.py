"""The chart page in a browser, read by the data attributes of `.chart`."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import ConsoleMessage, Page, Request
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from lab.http import get
from lab.waiting import patience, wait_until

TIMEOUT_S = 20.0


class ChartPage:
    """One page of the browser. Times are Unix seconds."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.requests: list[str] = []
        self.frames: list[str] = []
        """Texts that came over WebSockets."""
        self.complaints: list[str] = []
        """Errors and warnings of the console."""
        page.set_default_timeout(patience(TIMEOUT_S) * 1000)
        page.on("request", self._requested)
        page.on("websocket", lambda socket: socket.on("framereceived", self._received))
        page.on("console", self._logged)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _requested(self, request: Request) -> None:
        if not request.url.startswith("data:"):
            self.requests.append(request.url)

    def _received(self, frame: str | bytes) -> None:
        if isinstance(frame, str):
            self.frames.append(frame)

    def received(self, kind: str) -> list[str]:
        """The messages of a type that came over WebSockets."""
        return [frame for frame in self.frames if frame.startswith(f'{{"type":"{kind}"')]

    def _logged(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def open(self, series_id: str) -> None:
        """Load the page with the series in its URL."""
        self.page.goto(f"{self.url}/?series={series_id}" if series_id else self.url)

    def fact(self, name: str) -> str:
        """One of the data attributes of the chart, such as ``candle-count``."""
        return self.page.get_attribute(".chart", f"data-{name}") or ""

    def number(self, name: str) -> int:
        """A data attribute that is a number; -1 while it is empty."""
        return int(self.fact(name) or -1)

    def wait_for(self, **facts: str) -> None:
        """Wait until data attributes have these values: ``wait_for(status="live")``."""
        wanted = "".join(
            f'[data-{name.replace("_", "-")}="{text}"]' for name, text in facts.items()
        )
        try:
            self.page.wait_for_selector(f".chart{wanted}", state="attached")
            # The panels are built once the first candles are drawn.
            self.page.wait_for_selector(".market-search", state="attached")
        except PlaywrightTimeoutError:
            raise AssertionError(f"the chart is not {facts}, but {self._facts()}") from None

    def _facts(self) -> dict[str, str]:
        read = "document.querySelector('.chart')?.dataset"
        return {**self.page.evaluate(f"({{...{read}}})"), "complaints": str(self.complaints)}

    def wait_past(self, moment: int) -> int:
        """Wait until the newest closed candle is later than `moment`; return its time."""

        def last_time() -> int | None:
            # Playwright handles events of the page only during a call.
            last = self.number("last-time")
            return last if last > moment else None

        return int(wait_until(last_time, TIMEOUT_S, f"a candle after {moment} on the page"))

    def finish_animations(self) -> None:
        """Wait until whatever appears has its place and its colours.

        An animation of something that is hidden or replaced in the meantime is over, too: the
        browser then rejects its `finished`.
        """
        self.page.evaluate(
            "Promise.allSettled(document.getAnimations().filter(({ effect }) =>"
            " effect.getTiming().iterations !== Infinity).map(({ finished }) => finished))"
        )

    def closed_times(self) -> list[int]:
        """Times of all closed candles on the page."""
        return list(self.page.evaluate("window.tradeCanvas.closedTimes()"))

    def served_times(self) -> list[int]:
        """Times that the API returns for the range of candles on the page."""
        times = self.closed_times()
        series_id = self.fact("series-id")
        query = f"series_id={series_id}&since={times[0] - 1}&limit=5000"
        found: dict[str, Any] = get(f"{self.url}/api/market/candles?{query}")[1]
        served = [candle["candle_time"] for candle in found["candles"]]
        return [moment for moment in served if moment <= times[-1]]

    def assert_whole(self) -> None:
        """Assert that every candle of the server is on the page, once and in order."""
        before = self.closed_times()
        served = self.served_times()
        # More may have arrived during the request.
        assert self.closed_times()[: len(before)] == before
        assert before == served[: len(before)]
        held = list(self.page.evaluate("window.tradeCanvas.heldTimes()"))
        assert held == sorted(set(held))
