"""Answers about drawings as bytes, each compressed once.

All pages that follow a series live ask for the same. An answer at the newest candle holds until
candles or drawings change; one of a past time until the past does.
"""

from __future__ import annotations

import gzip
import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from hashlib import blake2b

from factors.lazy_json import as_json
from market.api.candle_answer import Body, body_of
from market.domain.store import SeriesState
from market.singletons import once
from overlays.api.draw_query import DrawQuery
from overlays.domain.ledger import LedgerState
from overlays.reads import Answer

CACHE_BYTES = 32 * 1024 * 1024

# What an answer takes beside its bodies at most: key, objects, headers, tags.
ANSWER_OVERHEAD_BYTES = 3_000

# A body below this size does not fit fewer network packets when compressed.
MIN_GZIP_BYTES = 600

# Drawings repeat what stands far apart: two levels more than for candle pages save 6 to 18 per cent
# for half the work more.
GZIP_LEVEL = 6

CURSOR_HEADER = b"x-draw-cursor"


@dataclass(slots=True)
class KeptAnswer:
    """An answer as bytes; `compressed` is made for the first client that accepts it."""

    held_by: Hashable
    candles: SeriesState
    cursor: int | None
    plain: Body
    compressed: Body | None = None

    @property
    def size(self) -> int:
        """All bytes that the answer keeps alive."""
        compressed = 0 if self.compressed is None else len(self.compressed.content)
        return ANSWER_OVERHEAD_BYTES + len(self.plain.content) + compressed

    @property
    def needs_gzip(self) -> bool:
        """Whether a client that accepts gzip has to wait for compressing."""
        return self.compressed is None and len(self.plain.content) >= MIN_GZIP_BYTES

    def body(self, *, accepts_gzip: bool) -> Body:
        """The body for a client; the plain one where compressing saves nothing."""
        return (self.compressed or self.plain) if accepts_gzip else self.plain


class AnswerCache:
    """Keeps answers up to a number of bytes. Every method may be called from any thread."""

    def __init__(self, *, max_bytes: int = CACHE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._answers: OrderedDict[DrawQuery, KeptAnswer] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """The bytes that all kept answers take."""
        return self._bytes

    def cached(
        self,
        query: DrawQuery,
        candles: SeriesState,
        drawn: LedgerState | None,
        *,
        accepts_gzip: bool = False,
    ) -> Body | None:
        """The answer for these candles and drawings, if it needs neither store nor compressing."""
        with self._lock:
            kept = self._answers.get(query)
            if kept is None or kept.held_by != _holder(query, candles, drawn):
                return None
            self._answers.move_to_end(query)
        if accepts_gzip and kept.needs_gzip:
            return None
        return kept.body(accepts_gzip=accepts_gzip)

    def keep(self, query: DrawQuery, answer: Answer, *, accepts_gzip: bool = False) -> Body:
        """The body of an answer that was just read; other clients get the same bytes."""
        content = as_json(answer.body)
        digest = blake2b(content, digest_size=12, key=answer.candles.generation.encode()[:64])
        tag = digest.hexdigest()
        kept = KeptAnswer(
            _holder(query, answer.candles, answer.drawn),
            answer.candles,
            answer.cursor,
            _body(content, tag, answer),
        )
        if accepts_gzip and kept.needs_gzip:
            shorter = gzip.compress(content, GZIP_LEVEL, mtime=0)
            kept.compressed = _body(shorter, f"{tag}.gz", answer, encoding="gzip")
        with self._lock:
            replaced = self._answers.pop(query, None)
            self._answers[query] = kept
            self._bytes += kept.size - (replaced.size if replaced else 0)
            while self._bytes > self._max_bytes:
                _, dropped = self._answers.popitem(last=False)
                self._bytes -= dropped.size
        return kept.body(accepts_gzip=accepts_gzip)


def _holder(query: DrawQuery, candles: SeriesState, drawn: LedgerState | None) -> Hashable:
    """What must be the same for an answer to be the same."""
    if query.at_time is None or candles.head is None or query.at_time > candles.head:
        return candles, drawn
    return candles.epoch, candles.generation, drawn and drawn.takebacks


def _body(content: bytes, tag: str, answer: Answer, *, encoding: str | None = None) -> Body:
    body = body_of(content, f'"{tag}"', state=answer.candles, encoding=encoding)
    if answer.cursor is not None:
        body.headers.append((CURSOR_HEADER, b"%d" % answer.cursor))
    return body


@once
def answer_cache() -> AnswerCache:
    """The answers of this process's stores."""
    return AnswerCache()
