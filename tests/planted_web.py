"""A web process that does one thing wrong to frames on their way out, for tests of the gate.

`python -m tests.planted_web drop|double|delay PORT`: every 10,000th frame of closed candles is
left out or sent twice, or all frames leave two seconds late.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys

import django
from django.core.management import call_command

EVERY = 10_000
DELAY_S = 2.0


def plant(fault):
    """Put the fault into the wire that every frame leaves by."""
    from market.live.wires.uvicorn import UvicornWire  # noqa: PLC0415  Needs Django set up.

    send, numbers = UvicornWire.send, itertools.count(1)

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

    UvicornWire.send = {"drop": drop, "double": double, "delay": delay}[fault]


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "trade_canvas.settings")
    django.setup()
    plant(sys.argv[1])
    call_command("web", "--port", sys.argv[2])
