"""A thread that works beside a drill until it is ended."""

from __future__ import annotations

import threading
from typing import Self


class Endable(threading.Thread):
    """A thread whose `run` goes on until `ending` is set; as a context manager it runs inside."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.ending = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.end()

    def end(self) -> None:
        """End the thread after what it is doing."""
        self.ending.set()
        self.join()
