"""Answers of a first load that are the same for everyone, made without Django.

The way through Django's threads and middleware is most of what they cost. What they say is found
out for each request, so nothing has to be invalidated; only compressing is done once. Django still
gives the headers, once for each kind of caller, and makes every answer that is no success.
"""

from __future__ import annotations

import gzip
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import orjson
from django.conf import settings
from django.http import QueryDict

from factors import runtime
from factors.domain.graph import catalog
from market import blocking
from market.api.asgi import Application, HeaderList, Receive, Scope, Send, respond
from market.api.candle_answer import (
    JSON_TYPE,
    VARY,
    Body,
    accepts_gzip,
    answer_with,
)
from market.api.checks import check_query
from market.api.common_headers import CommonHeaders
from market.api.requests import SymbolsQuery
from market.api.symbols import symbols
from market.api.whitelist import whitelist
from market.ingest.desired import whitelisted_series
from market.singletons import once
from trade_canvas.edge.script_name import PREFIX
from trade_canvas.middleware import MIN_GZIP_BYTES
from trade_canvas.views import canonical_query, document

HTML_TYPE = "text/html; charset=utf-8"
GZIP_LEVEL = 6

# Compressed answers of each path: those of the symbols are as many as there are queries.
MOST_KEPT = 32

Make = Callable[[Scope], Awaitable[bytes | None]]
"""Makes the content of a good answer; None, or any error, leaves the request to Django."""


class SharedAnswers:
    """ASGI middleware for GET requests of the document, the catalog, the whitelist and symbols."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._paths: dict[str, Application] = {
            "/": Page(application, _document),
            "/api/factor/catalog": Shared(application, _catalog),
            "/api/market/whitelist": Shared(application, _whitelist),
            "/api/market/symbols": Shared(application, _symbols),
        }

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer the request, or pass it on."""
        is_get = scope.get("method") == "GET"
        found = self._paths.get(scope.get("path", "")) if is_get else None
        return (found or self._application)(scope, receive, send)


class Shared:
    """The GET requests of one path of the API, whose answers are JSON."""

    content_type = JSON_TYPE
    may_be_stored = True
    """Whether a client may keep the answer, and ask whether it is still the same."""

    def __init__(self, application: Application, make: Make) -> None:
        self._application = application
        self._make = make
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._common_headers = self._asking()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let Django answer what has to be refused or fails."""
        given = dict(scope["headers"])
        common, content = None, None
        try:
            content = await self._make(scope)
            if content is not None:
                common = await self.common(scope, given, content)
        except Exception:
            # Django meets it again, and reports it.
            content = None
        if content is None or common is None:
            await self._application(scope, receive, send)
            return
        gzipped = accepts_gzip(given.get(b"accept-encoding", b"").decode("latin-1"))
        tags = given.get(b"if-none-match", b"") if self.may_be_stored else b""
        body = self._body(content, gzipped=gzipped)
        status, headers, answer = answer_with(body, tags.decode("latin-1"))
        await respond(send, status, headers + common, answer)

    async def common(
        self, scope: Scope, given: dict[bytes, bytes], content: bytes
    ) -> HeaderList | None:
        """The headers of Django's answers to this caller."""
        return await self._common_headers.of(scope, given)

    def _asking(self) -> CommonHeaders:
        return CommonHeaders(self._application, method="GET", status=200, vary=VARY)

    def _body(self, content: bytes, *, gzipped: bool) -> Body:
        tag = blake2b(content, digest_size=12).hexdigest()
        headers = [(b"content-type", self.content_type.encode())]
        if gzipped and len(content) >= MIN_GZIP_BYTES:
            content, tag = self._compressed(content, tag), f"{tag}.gz"
            headers.append((b"content-encoding", b"gzip"))
        headers.append((b"content-length", b"%d" % len(content)))
        if self.may_be_stored:
            headers += [(b"etag", f'"{tag}"'.encode()), (b"cache-control", b"no-cache")]
        return Body(content, f'"{tag}"', headers)

    def _compressed(self, content: bytes, tag: str) -> bytes:
        kept = self._kept.get(tag)
        if kept is None:
            kept = self._kept[tag] = gzip.compress(content, GZIP_LEVEL, mtime=0)
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(tag)
        return kept


class Page(Shared):
    """The document, whose policy for scripts names those that are in it."""

    content_type = HTML_TYPE
    may_be_stored = False

    def __init__(self, application: Application, make: Make) -> None:
        super().__init__(application, make)
        self._content: bytes | None = None

    async def common(
        self, scope: Scope, given: dict[bytes, bytes], content: bytes
    ) -> HeaderList | None:
        """The headers as they are for this document."""
        if content != self._content:
            self._content, self._common_headers = content, self._asking()
        return await super().common(scope, given, content)


async def _document(scope: Scope) -> bytes | None:
    """The built page; Django makes one below a prefix, and redirects other names of a series."""
    query = QueryDict(scope["query_string"].decode())
    if scope.get(PREFIX) or scope.get("root_path") or canonical_query(query) is not None:
        return None
    path = settings.FRONTEND_DIST / "index.html"
    found = path.stat()
    return _read(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=1)
def _read(path: Path, changed_ns: int, size: int) -> bytes:
    """The document; read again when the file is another."""
    return document()


async def _catalog(scope: Scope) -> bytes:
    return _catalog_content()


@once
def _catalog_content() -> bytes:
    """Which factors there are does not change while a process runs."""
    return orjson.dumps(catalog(runtime.engine().factors))


async def _whitelist(scope: Scope) -> bytes:
    return await blocking.run(lambda: orjson.dumps(whitelist()))


async def _symbols(scope: Scope) -> bytes:
    query = check_query(SymbolsQuery, QueryDict(scope["query_string"].decode()))
    return await blocking.run(lambda: orjson.dumps(symbols(query, whitelisted_series())))
