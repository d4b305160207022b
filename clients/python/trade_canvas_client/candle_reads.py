"""How a range of candles is read so that the result is never torn.

A page's epoch is how many revisions it has at least, so pages with one epoch may still differ. They
are of one moment when a request that begins after the last of them finds that epoch again. Pages of
an older epoch are read again, with their tag: those that no revision touched cost a 304.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from trade_canvas_client.columns import Candles, Columns
from trade_canvas_client.errors import SeriesChanging, UnexpectedAnswer
from trade_canvas_client.history import decode_columns
from trade_canvas_client.kept import Kept
from trade_canvas_client.times import LAST_SECOND, step_of
from trade_canvas_client.wire import Answer, Reading, Request, Version, one

PAGE_CANDLES = 5000
CELL_CANDLES = 2048
FEWEST_CELLS = 2
"""Compact history is used for ranges of at least so many cells: pages are fewer requests below."""
AT_ONCE = 8
MOST_CHANGES = 50
COMPACT_TYPE = "application/vnd.trade-canvas.candles"
ACCEPT = {"Accept": f"{COMPACT_TYPE}, application/json;q=0.9"}
CANDLES = "/api/market/candles"
HISTORY = "/api/market/history"


@dataclass(frozen=True, slots=True)
class Page:
    """A page of candles; `head` is the newest candle that the server has."""

    version: Version
    columns: Columns
    head: int | None
    tag: str

    @property
    def is_last(self) -> bool:
        """Whether nothing newer is stored."""
        times = self.columns.times
        return not times or self.head is None or times[-1] >= self.head


def page_request(series_id: str, since: int | None, limit: int, tag: str = "") -> Request:
    """Return the request for the oldest candles after `since`, or the newest without it."""
    query = [("series_id", series_id), ("limit", str(limit))]
    if since is not None:
        query.append(("since", str(since)))
    headers = ACCEPT | ({"If-None-Match": tag} if tag else {})
    return Request(CANDLES, query, headers)


def page_of(answer: Answer) -> Page:
    """Return a page in either form. Raises ApiError and UnexpectedAnswer."""
    answer.require()
    tag = answer.headers.get("etag", "")
    try:
        if answer.headers.get("content-type", "").startswith(COMPACT_TYPE):
            columns, text = _decoded(answer.body), answer.headers.get("x-server-head-time")
            head = None if text is None else int(text)
        else:
            body = answer.json()
            columns, head = Columns.of(body["candles"]), body["server_head_time"]
    except (KeyError, TypeError, ValueError) as error:
        raise UnexpectedAnswer(f"not a page of candles: {error!r}") from error
    return Page(answer.version, columns, head, tag)


def _decoded(body: bytes) -> Columns:
    times, values = decode_columns(body)
    return Columns(times, values)


def read_page(series_id: str, since: int | None, limit: int = PAGE_CANDLES) -> Reading[Page]:
    """Read one page."""
    return page_of((yield from one(page_request(series_id, since, limit))))


@dataclass(slots=True)
class _Piece:
    """A part of the range after `since` up to `until`; unread while `version` is None."""

    since: int
    until: int
    limit: int = PAGE_CANDLES
    version: Version | None = None
    tag: str = ""
    columns: Columns = field(default_factory=Columns)


class _Pages:
    """The pieces of one range, read until all of them are of one moment."""

    def __init__(self, series_id: str, since: int, end: int, version: Version | None) -> None:
        self._series_id = series_id
        self._step = step_of(series_id)
        self._whole = since, end
        self._is_part = version is not None
        self._pieces = [_Piece(since, end)] if since < end or not self._is_part else []
        self.version = version
        self._changes = 0

    def read(self) -> Reading[Columns]:
        """Read the range; `version` is then that of all of it.

        With a version given, a change of it ends the reading early: what has that version has to be
        read again too.
        """
        given = self.version
        while not self._is_part or self.version == given:
            stale = next((each for each in self._pieces if each.version != self.version), None)
            if stale is None and self.version is not None:
                if len(self._pieces) == 1 and not self._is_part:
                    break
                answer = yield from one(page_request(self._series_id, None, 1))
                if page_of(answer).version == self.version:
                    break
                self._observe(answer.version)
            else:
                yield from self._read_piece(stale or self._pieces[0])
        found = Columns()
        for each in self._pieces:
            found.extend(each.columns)
        return found

    def _read_piece(self, piece: _Piece) -> Reading[None]:
        if piece.version is None:
            piece.limit = min(PAGE_CANDLES, max(1, -(-(piece.until - piece.since) // self._step)))
        request = page_request(self._series_id, piece.since, piece.limit, piece.tag)
        answer = yield from one(request)
        answer.require(304)
        if not self._observe(answer.version):
            return
        if answer.status == 304:
            piece.version = answer.version
            return
        page = page_of(answer)
        at = self._pieces.index(piece)
        times = page.columns.times
        kept = page.columns.between(piece.since + 1, piece.until)
        done = page.is_last or times[-1] >= piece.until
        last = piece.until if done else times[-1]
        self._pieces[at] = _Piece(
            piece.since, last, piece.limit, version=page.version, tag=page.tag, columns=kept
        )
        if not done:
            self._pieces.insert(at + 1, _Piece(last, piece.until))
        elif page.is_last and times and piece.until == self._whole[1]:
            # What is stored from now on is no part of it, should this piece be read again.
            self._pieces[at].until = times[-1]

    def _observe(self, version: Version) -> bool:
        """Take over the version of an answer; return False when everything begins anew."""
        before, self.version = self.version, version
        if before is None or before == version:
            return True
        self._changes += 1
        if self._changes > MOST_CHANGES:
            raise SeriesChanging(f"{self._series_id} changed {MOST_CHANGES} times while read")
        if before.generation == version.generation and before.epoch < version.epoch:
            return True
        self._pieces = [_Piece(*self._whole)]
        return False


@dataclass(frozen=True, slots=True)
class _Index:
    """The chunks of a range, ascending by time, as (name, first time, last time)."""

    version: Version
    tail_since: int | None
    chunks: Sequence[tuple[str, int, int]]


def _read_index(series_id: str, start: int, end: int) -> Reading[_Index | None]:
    """Read which chunks a range has; None where the server has no compact history."""
    chunks: list[tuple[str, int, int]] = []
    tail: int | None = None
    version: Version | None = None
    # An index names the cells before that of `before`.
    newest = min(LAST_SECOND, end + CELL_CANDLES * step_of(series_id))
    before, changes = newest, 0
    while changes < MOST_CHANGES:
        query = [("series_id", series_id), ("limit", "1000"), ("before", str(before))]
        answer = yield from one(Request(HISTORY, query))
        if answer.status == 404:
            return None
        body = answer.json()
        if version not in (None, answer.version):
            # The pages of the index are of two moments.
            chunks, version, before, changes = [], None, newest, changes + 1
            continue
        version = answer.version
        try:
            found = [(each["name"], each["first"], each["last"]) for each in body["chunks"]]
            older = body["next_before"]
            # That of the first page: of the cells that the head has passed since it has no chunk.
            tail = body["tail_since"] if before == newest else tail
        except (KeyError, TypeError) as error:
            raise UnexpectedAnswer(f"not an index of history: {error!r}") from error
        chunks[:0] = [each for each in found if each[2] >= start and each[1] <= end]
        if older is None or older <= start:
            return _Index(version, tail, chunks)
        before = older
    raise SeriesChanging(f"{series_id} changed {MOST_CHANGES} times while it was read")


def _read_chunks(series_id: str, index: _Index, kept: Kept) -> Reading[Columns | None]:
    """Read the chunks of an index; None when one of them is of a past that was revised."""
    names = [name for name, *_ in index.chunks]
    found = {name: kept.chunk(series_id, name) for name in names}
    missing = [name for name in names if found[name] is None]
    for start in range(0, len(missing), AT_ONCE):
        part = missing[start : start + AT_ONCE]
        answers = yield [Request(f"{HISTORY}/{name}", [("series_id", series_id)]) for name in part]
        for name, answer in zip(part, answers, strict=True):
            if answer.status == 404:
                return None
            answer.require()
            try:
                columns = _decoded(answer.body)
            except ValueError as error:
                raise UnexpectedAnswer(f"chunk {name}: {error}") from error
            found[name] = columns
            kept.keep_chunk(series_id, name, columns)
    whole = Columns()
    for name in names:
        columns_of_name = found[name]
        assert columns_of_name is not None
        whole.extend(columns_of_name)
    return whole


def _read_history(series_id: str, start: int, end: int, kept: Kept) -> Reading[Candles | None]:
    """Read a range from chunks and the page behind them; None without compact history."""
    for _ in range(MOST_CHANGES):
        index = yield from _read_index(series_id, start, end)
        if index is None:
            return None
        whole = yield from _read_chunks(series_id, index, kept)
        if whole is None:
            continue
        tail = max(0, start - 1, index.tail_since or 0)
        pages = _Pages(series_id, tail, max(tail, end), index.version)
        rest = yield from pages.read()
        if pages.version == index.version:
            whole.extend(rest)
            return Candles(series_id, *index.version, whole.between(start, end), start)
    raise SeriesChanging(f"{series_id} changed {MOST_CHANGES} times while it was read")


def read_range(
    series_id: str, start: int, end: int | None, *, kept: Kept, now: float | None = None
) -> Reading[Candles]:
    """Read the closed candles from `start` to `end`, both inclusive, as they are at one moment."""
    step, last = step_of(series_id), LAST_SECOND if end is None else end
    until = min(last, time.time() if now is None else now)
    if kept.has_history is not False and until - start >= FEWEST_CELLS * CELL_CANDLES * step:
        found = yield from _read_history(series_id, start, last, kept)
        kept.has_history = found is not None
        if found is not None:
            return found
    since = max(0, start - 1)
    pages = _Pages(series_id, since, max(since, last), None)
    columns = yield from pages.read()
    assert pages.version is not None
    return Candles(series_id, *pages.version, columns, start)


def read_newest(series_id: str, count: int, *, kept: Kept) -> Reading[Candles]:
    """Read the newest `count` candles as they are at one moment."""
    if count <= PAGE_CANDLES:
        page = yield from read_page(series_id, None, count)
        times = page.columns.times
        start = times[0] if len(times) == count else 0
        return Candles(series_id, *page.version, page.columns, start)
    head = (yield from read_page(series_id, None, 1)).head
    span = count * step_of(series_id)
    while True:
        start = max(0, (head or 0) - span)
        found = yield from read_range(series_id, start, None, kept=kept)
        if len(found) >= count or start == 0:
            columns = found.columns.newest(count)
            first = columns.times[0] if len(columns) == count else start
            return Candles(series_id, found.generation, found.epoch, columns, first)
        # There are holes.
        span *= 4
