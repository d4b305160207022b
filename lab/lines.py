"""The lines of an installation with faults: to its store and its bus, and from its watchers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit, urlunsplit

from lab.line import HOST, Line


class Lines:
    """Every line of an installation; iterates over them."""

    def __init__(self) -> None:
        self.buses: dict[str, Line] = {}
        """Those to Valkey, by the name of the program that uses them."""
        self.stores: dict[str, Line] = {}
        """Those to PostgreSQL, likewise."""
        self._front: Line | None = None

    def __iter__(self) -> Iterator[Line]:
        yield from self.buses.values()
        yield from self.stores.values()
        if self._front:
            yield self._front

    def to_bus(self, name: str, url: str) -> str:
        """Return the address at which a program reaches Valkey over a line of its own."""
        self.buses[name] = line = Line([_port(url)]).start()
        return _with_port(url, line.port)

    def to_store(self, name: str, url: str) -> str:
        """Return the address at which a program reaches PostgreSQL over a line of its own."""
        self.stores[name] = line = Line([_port(url)]).start()
        return _with_port(url, line.port)

    def front(self, urls: Iterable[str]) -> Line:
        """Return the line to the web processes, which are those at `urls` on the first call."""
        if self._front is None:
            self._front = Line([_port(url) for url in urls]).start()
        return self._front

    def move_stores(self, port: int) -> None:
        """Have every program reach PostgreSQL at another port."""
        for line in self.stores.values():
            line.targets[:] = [port]
            line.reset()


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def _with_port(url: str, port: int) -> str:
    parts = urlsplit(url)
    credentials = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{credentials}@{HOST}:{port}"))
