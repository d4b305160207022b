"""Answers of any length, made piece by piece while the client reads."""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, Iterator

from django.http import StreamingHttpResponse
from django.utils.cache import patch_vary_headers

from market import blocking
from market.api.candle_answer import VARY
from market.api.top_market_stream import StreamPlaces

# Pieces are joined until they are worth a packet or two.
CHUNK_BYTES = 64 * 1024
GZIP_LEVEL = 6
GZIP_WINDOW_BITS = 31

MOST_STREAMS = 100
"""Streamed answers under way in one process."""

places = StreamPlaces(MOST_STREAMS)


def streamed(
    pieces: Iterator[bytes], *, gzip: bool, content_type: str = "application/json"
) -> StreamingHttpResponse:
    """An answer of these pieces, which are made on the database threads.

    What the first ones raise is raised here; later errors end the answer in its midst. Raises
    ApiError 503 `too_many_streams`.
    """
    places.require_free()
    chunks = _chunks(pieces, zlib.compressobj(GZIP_LEVEL, wbits=GZIP_WINDOW_BITS) if gzip else None)
    first = blocking.call(next, chunks, b"")
    answer = StreamingHttpResponse(_sent(first, chunks), content_type=content_type)
    answer.headers["Cache-Control"] = "no-cache"
    # A proxy that gathers the whole answer first would undo the streaming.
    answer.headers["X-Accel-Buffering"] = "no"
    if gzip:
        answer.headers["Content-Encoding"] = "gzip"
    patch_vary_headers(answer, (VARY,))
    return answer


async def _sent(first: bytes, chunks: Iterator[bytes]) -> AsyncGenerator[bytes, None]:
    with places.take():
        yield first
        while chunk := await blocking.run(next, chunks, b""):
            yield chunk


def _chunks(pieces: Iterator[bytes], compressor: zlib._Compress | None) -> Iterator[bytes]:
    """Pieces joined, and compressed; each chunk can be read without those after it."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= CHUNK_BYTES:
            yield _packed(b"".join(held), compressor)
            held, size = [], 0
    rest = b"".join(held)
    if compressor is None:
        yield rest
    else:
        yield compressor.compress(rest) + compressor.flush()


def _packed(content: bytes, compressor: zlib._Compress | None) -> bytes:
    if compressor is None:
        return content
    return compressor.compress(content) + compressor.flush(zlib.Z_SYNC_FLUSH)
