"""Gzip bodies assembled from parts that were compressed before.

A deflate stream may be cut at a full flush, since what follows does not refer to what came before.
So the large part of a body is compressed once, and reused when only its beginning changes.
"""

from __future__ import annotations

import zlib

# Magic, deflate, no flags, no time, no hint, unknown system (RFC 1952).
HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

# Above this level a page of candles gets a few per cent smaller for several times the work.
LEVEL = 4


def deflated(part: bytes | memoryview) -> bytes:
    """`part` as raw deflate blocks that end on a byte and refer to nothing outside."""
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(part) + compressor.flush(zlib.Z_FULL_FLUSH)


def packed(columns: bytes) -> bytes:
    """Columns of bytes as one gzip body: they hold small numbers rather than repetitions."""
    compressor = zlib.compressobj(
        LEVEL, zlib.DEFLATED, zlib.MAX_WBITS | 16, strategy=zlib.Z_FILTERED
    )
    return compressor.compress(columns) + compressor.flush()


def gzipped(body: bytes, *, head: int, tail: int, middle: bytes) -> tuple[bytes, slice]:
    """`body` as one gzip member, and where `middle` is in it.

    `middle` is what `deflated` made of ``body[head:-tail]``; only the ends are compressed here.
    """
    beginning = HEADER + deflated(body[:head])
    last = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    ending = last.compress(body[-tail:]) + last.flush(zlib.Z_FINISH)
    checksum = zlib.crc32(body).to_bytes(4, "little")
    length = (len(body) & 0xFFFFFFFF).to_bytes(4, "little")
    whole = b"".join((beginning, middle, ending, checksum, length))
    return whole, slice(len(beginning), len(beginning) + len(middle))
