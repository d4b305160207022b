"""The port of a Channels channel layer."""

from __future__ import annotations

from typing import Any, Protocol


class ChannelLayer(Protocol):
    """The methods of a channel layer that the hub uses."""

    async def new_channel(self) -> str: ...
    async def receive(self, channel: str) -> dict[str, Any]: ...
    async def group_add(self, group: str, channel: str) -> None: ...
    async def group_discard(self, group: str, channel: str) -> None: ...
