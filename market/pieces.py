"""Small pieces of bytes joined into larger ones, which cost less to send or to write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def joined(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in pieces of at least `size`; the last one may be shorter, or empty."""
    held: list[bytes] = []
    count = 0
    for piece in pieces:
        held.append(piece)
        count += len(piece)
        if count >= size:
            yield b"".join(held)
            held, count = [], 0
    yield b"".join(held)
