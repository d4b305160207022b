"""Answers of any length, made piece by piece while the client reads."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack

from django.http import StreamingHttpResponse
from django.utils.cache import patch_vary_headers

from market import blocking
from market.api.candle_answer import VARY
from market.api.event_streams import StreamPlaces
from market.pieces import joined

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
    return in_chunks(
        joined(pieces, CHUNK_BYTES), gzip=gzip, content_type=content_type, places=places
    )


def in_chunks(
    chunks: Iterator[bytes],
    *,
    gzip: bool,
    content_type: str,
    places: StreamPlaces,
    most_s: float = 0.0,
    abort: Callable[[], object] | None = None,
) -> StreamingHttpResponse:
    """An answer of chunks that are sent as they come; an empty one is only a step of the work.

    The first is made here, and what it raises is raised here. `abort`, which closes the connection,
    is called if the answer takes longer than `most_s` seconds.
    """
    packed = _packed(chunks) if gzip else chunks
    first = blocking.call(next, packed, None)
    body = Body(first, packed, places=places, most_s=most_s, abort=abort)
    answer = StreamingHttpResponse(body, content_type=content_type)
    answer.headers["Cache-Control"] = "no-cache"
    # A proxy that gathers the whole answer first would undo the streaming.
    answer.headers["X-Accel-Buffering"] = "no"
    if gzip:
        answer.headers["Content-Encoding"] = "gzip"
    patch_vary_headers(answer, (VARY,))
    return answer


class Body:
    """The chunks of an answer while they are sent; belongs to one request."""

    def __init__(
        self,
        first: bytes | None,
        chunks: Iterator[bytes],
        *,
        places: StreamPlaces,
        most_s: float,
        abort: Callable[[], object] | None,
    ) -> None:
        self._first = first
        self._chunks = chunks
        self._places = places
        self._most_s = most_s
        self._abort = abort
        # What is held while chunks are sent.
        self._held = ExitStack()

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        """Yield the chunks, the later ones made when they are asked for."""
        self._held.enter_context(self._places.take())
        if self._abort is not None:
            # A client that reads slowly holds the answer up outside of this generator.
            loop = asyncio.get_running_loop()
            ending = loop.call_later(self._most_s, self._abort)
            self._held.callback(loop.call_soon_threadsafe, ending.cancel)
        with self._held:
            chunk = self._first
            while chunk is not None:
                if chunk:
                    yield chunk
                chunk = await blocking.run(next, self._chunks, None)

    def close(self) -> None:
        """Free what is held; called by Django on any thread when the client has gone.

        Without this the generator above would wait for the garbage collector.
        """
        self._held.close()


def _packed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Chunks compressed; each can be read without those after it."""
    compressor = zlib.compressobj(GZIP_LEVEL, wbits=GZIP_WINDOW_BITS)
    for chunk in chunks:
        yield compressor.compress(chunk) + compressor.flush(zlib.Z_SYNC_FLUSH) if chunk else b""
    yield compressor.flush()
