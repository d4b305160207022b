"""Requests and answers without input or output, so that both clients share everything above them.

A `Reading` is a generator: it yields requests that may be sent at the same time, gets their answers
in the same order, and returns what was read.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, TypeVar

from trade_canvas_client.errors import UnexpectedAnswer, api_error

T = TypeVar("T")
BUSY = frozenset({429, 502, 503, 504})
"""Statuses after which the same request may succeed a moment later."""


@dataclass(frozen=True, slots=True)
class Request:
    """A GET: a path below the server's address, its query, and headers."""

    path: str
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str] = field(default_factory=dict)


class Version(NamedTuple):
    """The past that was read: the store's generation, and how many revisions are in it."""

    generation: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer whose body is decompressed; the names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def version(self) -> Version:
        """The version of the series in the headers. Raises UnexpectedAnswer."""
        try:
            return Version(
                self.headers.get("x-series-generation", ""), int(self.headers["x-series-epoch"])
            )
        except (KeyError, ValueError):
            raise UnexpectedAnswer("the answer has no X-Series-Epoch") from None

    @property
    def retry_after_s(self) -> float | None:
        """The pause that the server asks for."""
        asked = self.headers.get("retry-after", "")
        if asked.isascii() and asked.isdigit():
            return float(asked)
        try:
            return max(0.0, (parsedate_to_datetime(asked) - datetime.now(UTC)).total_seconds())
        except (TypeError, ValueError):
            return None

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed a moment later."""
        return self.status in BUSY or (self.status == 409 and b"ledger_out_of_sync" in self.body)

    def require(self, *allowed: int) -> None:
        """Raise ApiError for an error, UnexpectedAnswer for any status but 200 and `allowed`."""
        if self.status == 200 or self.status in allowed:
            return
        if self.status < 400:
            raise UnexpectedAnswer(f"status {self.status}: is this the server's address?")
        try:
            body = json.loads(self.body)
        except ValueError:
            body = None
        raise api_error(self.status, body, self.retry_after_s)

    def json(self) -> dict[str, Any]:
        """Return the body of a successful answer. Raises ApiError and UnexpectedAnswer."""
        self.require()
        try:
            body = json.loads(self.body)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise UnexpectedAnswer("the answer is no JSON object: is this the server's address?")
        return body


Reading = Generator[Sequence[Request], Sequence[Answer], T]


def one(request: Request) -> Reading[Answer]:
    """Send a single request."""
    (answer,) = yield (request,)
    return answer
