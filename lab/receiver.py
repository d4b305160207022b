"""A receiver of webhooks that fails, hangs or refuses on demand, and records what it got."""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

import orjson

from trade_canvas.up.plan import HOST

HANG, ACCEPT_LATE = 0, 1
"""Instead of a status: the request is not answered until the receiver is released.

With ACCEPT_LATE the alert counts as accepted all the same.
"""


POLL_S = 0.02


class Delivery(NamedTuple):
    """One request: the alert's id and body, the status it was answered with, and its headers."""

    id: str
    body: dict[str, Any]
    status: int
    headers: dict[str, str]


class Receiver:
    """An HTTP server on a free port; a context manager.

    `behave` decides on the status for the number of a request, from 1 on.
    """

    def __init__(self, secret: str, behave: Callable[[int], int] = lambda number: 200) -> None:
        self.behave = behave
        self.deliveries: list[Delivery] = []
        """In the order of arrival; those that hang are among them from the beginning."""
        self.unsigned = 0
        """Requests without a right signature."""
        self.most_at_once = 0
        self._secret = secret
        self.running = 0
        """Requests that are not answered yet."""
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._server = ThreadingHTTPServer((HOST, 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL_S,), daemon=True
        )

    @property
    def url(self) -> str:
        """The address to post to."""
        return f"http://{HOST}:{self._server.server_address[1]}/hook"

    @property
    def accepted(self) -> list[str]:
        """The ids that were answered with 200, in order, repeats included."""
        return [each.id for each in self.deliveries if each.status == 200]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()

    def hold(self) -> None:
        """Have requests hang again that are to hang."""
        self._released.clear()

    def release(self) -> None:
        """Answer the requests that hang, and those that would."""
        self._released.set()

    def _received(self, headers: Iterable[tuple[str, str]], content: bytes) -> int:
        given = {name.lower(): value for name, value in headers}
        with self._lock:
            status = self.behave(len(self.deliveries) + 1)
            self.unsigned += not is_signed(self._secret, given, content)
            body = orjson.loads(content)
            seen = 200 if status == ACCEPT_LATE else status
            self.deliveries.append(Delivery(given["webhook-id"], body, seen, given))
            self.running += 1
            self.most_at_once = max(self.most_at_once, self.running)
        return status

    def _ended(self) -> None:
        with self._lock:
            self.running -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # noqa: N802  The name that http.server calls.
                content = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver._received(self.headers.items(), content)
                try:
                    if status in (HANG, ACCEPT_LATE):
                        receiver._released.wait()
                    self.send_response({HANG: 503, ACCEPT_LATE: 200}.get(status, status))
                    if 300 <= status < 400:
                        self.send_header("Location", receiver.url)
                    self.end_headers()
                except OSError:
                    # The sender was killed, or did not wait.
                    self.close_connection = True
                finally:
                    receiver._ended()

            def log_message(self, *arguments: object) -> None:
                """Write no lines."""

        return Handler


def is_signed(secret: str, headers: dict[str, str], content: bytes) -> bool:
    """Whether a request is signed as docs/alerts.md describes."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers.get('webhook-id')}.{headers.get('webhook-timestamp')}.".encode() + content
    expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    given = [each.partition(",")[2] for each in headers.get("webhook-signature", "").split()]
    return any(hmac.compare_digest(expected, each) for each in given)
