"""Limits of what an exchange may send: an answer is cut before it is decoded or parsed.

Parsed JSON takes up to twenty times the memory of its text, so one broken or hostile answer could
end a worker with everything that it follows.
"""

from __future__ import annotations

import zlib
from importlib import import_module
from typing import Any

import aiohttp
from ccxt.base.errors import NetworkError
from typing_extensions import override

from market.domain.feed import FeedError

# The longest answers are listings of all markets: up to about 20 MB.
MAX_ANSWER_BYTES = 32 * 1024 * 1024

# A message of a stream after decompression; ccxt limits it to 10 MiB before.
MAX_MESSAGE_BYTES = 10 * 1024 * 1024

# ccxt.async_support rebinds the name `base`, so a plain import does not find these.
ccxt_client: Any = import_module("ccxt.async_support.base.ws.client")
ccxt_exchange: Any = import_module("ccxt.async_support.base.exchange")

GZIP, RAW = 16 + zlib.MAX_WBITS, -zlib.MAX_WBITS


class AnswerTooLarge(FeedError):
    """The exchange sent more than we accept."""

    def __init__(self, most: int) -> None:
        super().__init__(f"the exchange sent more than {most / 2**20:.0f} MiB at once")


class LimitedResponse(aiohttp.ClientResponse):
    """A response whose body, decompressed, may have `most` bytes."""

    most = MAX_ANSWER_BYTES

    @override
    async def read(self) -> bytes:
        """The whole body; raises AnswerTooLarge, and closes the connection, as soon as it is."""
        if self._body is None:
            parts: list[bytes] = []
            size = int(self.headers.get("Content-Length") or 0)
            try:
                received = 0
                while size <= self.most and (part := await self.content.readany()):
                    parts.append(part)
                    received += len(part)
                    size = max(size, received)
                if size > self.most:
                    raise AnswerTooLarge(self.most)
            except BaseException:
                self.close()
                raise
            self._body = b"".join(parts)
            return self._body
        return await super().read()


def inflated(data: bytes, wbits: int) -> bytes:
    """A message decompressed; raises AnswerTooLarge."""
    decompressor = zlib.decompressobj(wbits)
    found = decompressor.decompress(data, MAX_MESSAGE_BYTES)
    if decompressor.unconsumed_tail:
        raise AnswerTooLarge(MAX_MESSAGE_BYTES)
    return found


def _inflate(data: bytes) -> bytes:
    return inflated(data, RAW)


def _gunzip(data: bytes) -> str:
    return inflated(data, GZIP).decode()


def limit_messages() -> None:
    """Give ccxt's streams a limit after decompression, and an end after a message they cannot read.

    Without it the socket stays open while ccxt has stopped reading it.
    """
    for module in (ccxt_client, ccxt_exchange):
        module.inflate, module.gunzip = _inflate, _gunzip
    handle_message = ccxt_client.Client.handle_message

    def handle_or_end(client: Any, message: Any) -> None:
        try:
            handle_message(client, message)
        except Exception as error:
            client.on_error(NetworkError(f"{type(error).__name__}: {error}"[:200]))

    ccxt_client.Client.handle_message = handle_or_end


limit_messages()
