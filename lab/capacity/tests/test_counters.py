from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

from lab.capacity.counters import Counts, compare, read_counts
from lab.capacity.figures import Counted

WORKER = """# TYPE market_candles_published counter
market_candles_published_total{series_id="a"} 7.0
market_candles_published_total{series_id="b"} 2.0
market_bus_published_total{type="closed",result="ok"} 9.0
"""
WEB = """market_ws_candles_delivered_total{series_id="a"} 70.0
market_ws_catchup_candles_total 5.0
market_ws_watchers 10.0
"""


@contextmanager
def serving(*bodies):
    """A server that answers one body after the other, and the last for ever."""
    left = list(bodies)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = (left.pop(0) if len(left) > 1 else left[0]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Stay silent."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_counts_are_read_once_they_no_longer_change():
    moving = WEB.replace("70.0", "60.0")
    with serving(WORKER) as worker, serving(moving, WEB) as web:
        counts = read_counts(worker, (web,), lambda: 75)
    assert counts == Counts({"a": 7.0, "b": 2.0}, 75.0, 75)


def test_published_candles_count_once_for_each_of_their_watchers():
    first, last = Counts({"a": 5}, 100, 90), Counts({"a": 8, "b": 1}, 112, 102)
    assert compare(first, last, {"a": 3, "b": 2, "c": 9}) == Counted(11, 12, 12)
