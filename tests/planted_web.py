"""A web process that does one thing wrong to frames on their way out, for tests of the gate.

`python -m tests.planted_web FAULT PORT`: every 10,000th frame of closed candles is left out (drop)
or sent twice (double), or all frames leave two seconds late (delay). Of messages about drawings
every 50th is left out (drop-drawings), or all leave two seconds late (delay-drawings).
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys

import django
from django.core.management import call_command

EVERY = 10_000
EVERY_DRAWN = 50
DELAY_S = 2.0


def candle_fault(fault, send):
    """Return `send` of a wire with a fault of closed candles."""
    numbers = itertools.count(1)

    def is_due(frame):
        return '"candle_forming"' not in frame.texts[0] and next(numbers) % EVERY == 0

    def drop(self, frame):
        if not is_due(frame):
            send(self, frame)

    def double(self, frame):
        send(self, frame)
        if is_due(frame):
            send(self, frame)

    def delay(self, frame):
        asyncio.get_running_loop().call_later(DELAY_S, send, self, frame)

    return {"drop": drop, "double": double, "delay": delay}[fault]


def drawing_fault(fault, offer):
    """Return `offer` of a wire with a fault of messages about drawings."""
    numbers = itertools.count(1)

    def is_drawn(frame):
        return '"draw_delta"' in frame.texts[0]

    def drop(self, frame):
        return (is_drawn(frame) and next(numbers) % EVERY_DRAWN == 0) or offer(self, frame)

    def delay(self, frame):
        if not is_drawn(frame):
            return offer(self, frame)
        asyncio.get_running_loop().call_later(DELAY_S, offer, self, frame)
        return True

    return {"drop-drawings": drop, "delay-drawings": delay}[fault]


def plant(fault):
    """Put the fault into the wire that every frame leaves by."""
    from market.live.wires.uvicorn import UvicornWire  # noqa: PLC0415  Needs Django set up.

    if fault.endswith("-drawings"):
        UvicornWire.offer = drawing_fault(fault, UvicornWire.offer)
    else:
        UvicornWire.send = candle_fault(fault, UvicornWire.send)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "trade_canvas.settings")
    django.setup()
    plant(sys.argv[1])
    call_command("web", "--port", sys.argv[2])
