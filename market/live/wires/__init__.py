"""The connections to watchers: a port and its two implementations."""

from __future__ import annotations

from market.live.wires.asgi import AsgiWire, Send
from market.live.wires.port import Wire
from market.live.wires.uvicorn import UvicornWire


def wire_for(send: Send, *, outbox_bytes: int) -> Wire:
    """The best wire for the server behind `send`; `outbox_bytes` limits what may wait in it."""
    protocol = getattr(send, "__self__", None)
    if UvicornWire.fits(protocol):
        return UvicornWire(protocol, outbox_bytes)
    return AsgiWire(send, outbox_bytes)
