"""Sends requests with forged client addresses through the proxy, and prints how many got 429.

Runs on the machine, under the Python of the release: `forge.py URL CERTIFICATES`.
"""

from __future__ import annotations

import asyncio
import ssl
import sys

import aiohttp

# Far more than two web processes allow one address while they are sent, at 20 a second each.
REQUESTS = 2000
AT_A_TIME = 100


async def main(url: str, certificates: str) -> None:
    """Send the requests."""
    connector = aiohttp.TCPConnector(
        ssl=ssl.create_default_context(cafile=certificates), limit=AT_A_TIME
    )
    async with aiohttp.ClientSession(connector=connector) as session:

        async def status(number: int) -> int:
            address = f"198.51.{number // 250}.{number % 250}"
            headers = {"X-Forwarded-For": address, "Forwarded": f"for={address}"}
            async with session.get(f"{url}/api/market/whitelist", headers=headers) as response:
                await response.read()
                return response.status

        found = await asyncio.gather(*(status(number) for number in range(REQUESTS)))
    print(found.count(429))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
