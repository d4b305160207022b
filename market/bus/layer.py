"""The channel layer as the hub sees it."""

from __future__ import annotations

from typing import Any, Protocol


class ChannelLayer(Protocol):
    """What the hub uses of a Channels layer."""

    async def new_channel(self) -> str: ...
    async def receive(self, channel: str) -> dict[str, Any]: ...
    async def group_add(self, group: str, channel: str) -> None: ...
    async def group_discard(self, group: str, channel: str) -> None: ...
