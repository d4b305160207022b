"""Rows of the ledgers in few bytes: their texts deflated with a dictionary that all rows share.

A text is unpacked exactly as it was written. What else is in its row (its names and times) is added
to the dictionary, since texts repeat it; so it must be the same at both calls. A long text that
follows one much like it is packed behind that, as the difference.

Stored rows need their dictionary for as long as they exist: one that was released is never changed,
another one gets another number.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

# The least frequent first: what is near the end takes the fewest bits.
_FIRST = (
    '"touch_indices":[],"touch_times":[],"level_score":0."band_low":"band_high":"band_width_atr":0.'
    ',"death_idx":null,"death_time":null,"death_price":null},{"price":"type":"support",'
    '"level_type":"resistance","status":"broken""status":"flip""flip_dir":"up""status":"active",'
    '"first_idx":"second_idx":"last_idx":"first_time":"second_time":"last_time":"count":2,'
    '"flip_dir":null,"touch_indices":[\n{"visible_time":,"algorithm":"pivot_wick_overlap",'
    '"levels":[{"price":{"alive":[{"start_time":,"end_time":,"zg":,"zd":,"entry_direction":-1,'
    '"formed_time":,"formed_reason":"price_cross","death_time":null,"visible_time":}]}'
    '"formed_reason":"pen_confirmed"}dead:\n{"switch_time":,"reason":"strong_pen","old_anchor":'
    '{"kind":"confirmed","start_time":,"end_time":,"direction":1},"new_anchor":{"kind":"candidate",'
    '"start_time":,"end_time":,"direction":-1},"visible_time":"reason":"zhongshu_entry"'
    '{"current_anchor_ref":{"kind":"candidate","start_time":polyline\n{"type":"polyline","feature":'
    '"zhongshu.alive","points":[{"time":"color":"rgba(22,163,74,0.72)","lineWidth":2,'
    '"entryDirection":1,"extendRight":true}"color":"rgba(220,38,38,0.72)""feature":"zhongshu.dead"'
    '"color":"rgba(74,222,128,0.58)","lineWidth":2,"entryDirection":-1}'
    '"color":"rgba(248,113,113,0.58)"polyline\n{"type":"polyline","feature":"anchor.current",'
    '"points":[{"time":"color":"#f59e0b","lineWidth":2}"feature":"anchor.history"'
    '"color":"rgba(59,130,246,0.55)","lineWidth":1}polyline\n{"type":"polyline",'
    '"feature":"sr.active","points":[{"time":"color":"#22c55e","lineWidth":2,"extendRight":true}'
    '"feature":"sr.broken""color":"rgba(148,163,184,0.6)","lineWidth":1,"lineStyle":"dashed"}'
    'marker\n{"type":"marker","feature":"anchor.switch","time":,"position":"aboveBar",'
    '"color":"#f59e0b","shape":"arrowDown","text":"A","size":1.0}"feature":"pivot.major",'
    '"color":"#ef4444","shape":"circle","text":"","size":1.0}marker\n{"type":"marker",'
    '"feature":"pivot.minor","time":"position":"belowBar","color":"rgba(34,197,94,0.6)",'
    '"shape":"circle","text":"","size":0.5}"position":"aboveBar","color":"rgba(239,68,68,0.6)",'
    '"shape":"circle","text":"","size":0.5}polyline\n{"type":"polyline","feature":"pen.confirmed",'
    '"points":[{"time":},"color":"#ffffff","lineWidth":2}polyline\n{"type":"polyline",'
    '"feature":"pen.extending","points":[{"time":"value":0.},{"time":,"value":0.],'
    '"color":"#ffffff","lineWidth":2,"lineStyle":"dashed"}polyline\n{"type":"polyline",'
    '"feature":"pen.candidate","points":[{"time":,"value":confirmed::-1\n{"start_time":,'
    '"end_time":,"start_price":,"end_price":,"direction":-1,"visible_time":,"start_idx":,'
    '"end_idx":}{"extending":{"start_time":,"end_time":,"start_price":0.,"end_price":0.,'
    '"direction":-1},"candidate":{"start_time":,"end_time":,"start_price":0.,"end_price":0.,'
    '"direction":1}}major::support:50\n{"pivot_time":minor::resistance:5\n{"pivot_time":,'
    '"pivot_price":0.,"direction":"support","visible_time":,"window":5,"pivot_idx":'
    '"direction":"resistance","visible_time":,"window":50,"pivot_idx":'
)
DICTIONARIES = {1: _FIRST.encode()}
NEWEST = 1

LONGEST_CHAIN = 16
"""Texts that are packed one behind the other, until one stands alone again."""

# What a chained text begins with: a number that no dictionary has, its depth, a checksum of the
# text that it is packed behind, and the length of the list of objects. The list follows, then the
# changed objects.
_CHAINED = struct.Struct(">BBII")
_BEHIND = 255
_BETWEEN = b"},{"
_LISTS = b"0:9,0:8,0:7,0:6,0:5,0:4,0:3,0:2,0:1,:0,0:0,0:0,0:0"


class WrongPrevious(Exception):
    """A text was packed behind another one than was given."""


# A short text needs a small window, which costs less to set up.
LONG = 1500
_SHORT_WINDOW, _LONG_WINDOW = -12, -15
_LEVEL = 6


def packed(text: str, *row: object) -> bytes:
    """The bytes of a text; `row` is what else its row holds."""
    data = text.encode()
    shared = DICTIONARIES[NEWEST] + _joined(row)
    if len(data) < LONG:
        deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, _SHORT_WINDOW, 4, zlib.Z_FIXED, shared)
    else:
        deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, _LONG_WINDOW, zdict=shared)
    return bytes((NEWEST,)) + deflate.compress(data) + deflate.flush()


def unpacked(data: bytes | memoryview, *row: object) -> str:
    """The text that was packed with `row`."""
    given = bytes(data)
    shared = DICTIONARIES[given[0]] + _joined(row)
    return zlib.decompressobj(_LONG_WINDOW, shared).decompress(given[1:]).decode()


def packed_behind(text: str, previous: str, depth: int) -> bytes:
    """The bytes of a text as its difference from another one, the `depth`-th of a chain.

    Both are taken to be lists of objects. Those that changed are packed together, behind what they
    were: deflate looks back 32 KB, and a snapshot of long history is longer than that.
    """
    shared = previous.encode()
    known = shared.split(_BETWEEN)
    listed, changed = _compared(text.encode().split(_BETWEEN), known)
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, _SHORT_WINDOW, 4, zlib.Z_FIXED, _LISTS)
    objects = deflate.compress(listed.encode()) + deflate.flush()
    _, likes = _followed(listed, known)
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, _LONG_WINDOW, zdict=_behind(likes))
    return (
        _CHAINED.pack(_BEHIND, depth, zlib.crc32(shared), len(objects))
        + objects
        + deflate.compress(_BETWEEN.join(changed))
        + deflate.flush()
    )


def unpacked_behind(data: bytes | memoryview, previous: str) -> str:
    """The text that was packed behind `previous`; raises WrongPrevious for another one."""
    given, shared = bytes(data), previous.encode()
    _, _, checksum, length = _CHAINED.unpack_from(given)
    if zlib.crc32(shared) != checksum:
        raise WrongPrevious("a row of the ledger was packed behind another one; rebuild its series")
    known, at = shared.split(_BETWEEN), _CHAINED.size
    inflate = zlib.decompressobj(_LONG_WINDOW, _LISTS)
    listed = inflate.decompress(given[at : at + length]).decode()
    parts, likes = _followed(listed, known)
    inflate = zlib.decompressobj(_LONG_WINDOW, _behind(likes))
    changed = iter(inflate.decompress(given[at + length :]).split(_BETWEEN))
    return _BETWEEN.join(next(changed) if part is None else part for part in parts).decode()


def _compared(parts: Sequence[bytes], known: Sequence[bytes]) -> tuple[str, list[bytes]]:
    """The list of objects for `_followed`, and the objects that changed.

    Each is compared with the known one that has the same first field, or the same place.
    """
    first_fields = {part.partition(b",")[0]: number for number, part in enumerate(known)}
    steps: list[tuple[int | str, int]] = []
    changed: list[bytes] = []
    number = 0
    for place, part in enumerate(parts):
        like = first_fields.get(part.partition(b",")[0], place if place < len(known) else None)
        if like is None:
            steps.append(("", 0))
            changed.append(part)
            continue
        if known[like] != part:
            steps.append((like - number, 0))
            changed.append(part)
        elif steps and steps[-1][1] and like == number:
            steps[-1] = (steps[-1][0], steps[-1][1] + 1)
        else:
            steps.append((like - number, 1))
        number = like + 1
    return ",".join(f"{skip}:{same}" for skip, same in steps), changed


def _followed(listed: str, known: Sequence[bytes]) -> tuple[list[bytes | None], list[bytes]]:
    """The objects of a list: those that are the same, and None for others; what the others were.

    An entry is how many known objects are skipped, and how many of those behind are the same; 0 for
    one that changed. An object without a known one like it skips nothing.
    """
    parts: list[bytes | None] = []
    likes: list[bytes] = []
    number = 0
    for step in listed.split(","):
        skip, _, same = step.partition(":")
        if not skip:
            parts.append(None)
            continue
        number += int(skip)
        if count := int(same):
            parts += known[number : number + count]
            number += count
        else:
            parts.append(None)
            likes.append(known[number])
            number += 1
    return parts, likes


def _behind(likes: Sequence[bytes]) -> bytes:
    return _BETWEEN.join(likes) or DICTIONARIES[1]


def depth_of(data: bytes | memoryview) -> int:
    """How long the chain before a packed text is; 0 for one that stands alone."""
    # The driver's views of memory have single bytes for items, not numbers.
    form, depth = bytes(data[:2])
    return depth if form == _BEHIND else 0


def _joined(row: tuple[object, ...]) -> bytes:
    return ",".join(map(str, row)).encode()
