"""Frames on the wire are those of the WebSocket library."""

from __future__ import annotations

import orjson
import pytest
from websockets.frames import Frame as LibraryFrame
from websockets.frames import Opcode

from market.live.frames import Frame

OVERHEAD = len(orjson.dumps({"type": ""}))


@pytest.mark.parametrize("size", [OVERHEAD, 125, 126, 127, 65_535, 65_536, 200_000])
def test_frame_has_the_bytes_that_the_library_would_send(size):
    message = {"type": "x" * (size - OVERHEAD)}
    body = orjson.dumps(message)
    assert len(body) == size
    assert Frame.of(message).data == LibraryFrame(Opcode.TEXT, body).serialize(mask=False)


def test_messages_follow_each_other_and_are_counted():
    one, two = Frame.of({"type": "gap"}), Frame.of({"type": "candle_closed", "price": "é"})
    both = Frame.of({"type": "gap"}, {"type": "candle_closed", "price": "é"})
    assert both.data == one.data + two.data
    assert both.texts == one.texts + two.texts
    assert both.types == {"gap": 1, "candle_closed": 1}
