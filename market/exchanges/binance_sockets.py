"""What the stream of Binance-like exchanges keeps of its sockets, and of the series on them."""

from __future__ import annotations

from dataclasses import dataclass, field

from market.domain.series import SeriesId
from market.exchanges.doubt import Doubt
from market.exchanges.socket_plan import Socket


@dataclass(slots=True, eq=False)
class Subscription:
    """A followed series, its stream's names, and when it last sent something (monotonic).

    `doubt` until its socket has served it; `is_asked` while that looks at REST.
    """

    series: SeriesId
    pair: tuple[str, str]
    wire: tuple[str, str]
    connection: Connection
    last_at: float
    doubt: Doubt | None
    is_asked: bool = False
    quiet: int = 0


@dataclass(slots=True, eq=False)
class Connection:
    """One socket; when `down` has a reason, it is reopened at `open_at` or later.

    Pinned series have sockets of their own, which no other series' silence or refusal takes down.
    """

    socket: Socket
    subscriptions: dict[SeriesId, Subscription] = field(default_factory=dict)
    again: list[Subscription] = field(default_factory=list)
    down: str | None = None
    open_at: float = 0.0
    opened_at: float = 0.0
    failures: int = 0
    breaks: int = 0
    last_at: float = 0.0
    quiet: int = 0

    @property
    def number(self) -> str:
        """The end of the socket's address."""
        return self.socket.number
