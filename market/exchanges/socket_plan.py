"""Which socket carries which series, and how many one carries: learned from what is refused.

Pure: no socket is opened here. A series that is refused beside others goes to another socket, where
it is with fewer; several that are refused together are halved; one that is refused alone is polled.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from market.domain.series import SeriesId
from market.singletons import on_reset

logger = logging.getLogger(__name__)

# Sockets that a series is tried on before it is polled: enough to halve a hundred down to one.
MOST_MOVES = 8

# Times in a row that a socket may break soon after it was opened, before it carries fewer series.
MOST_BREAKS = 3

# What later jobs of this process begin with.
_LEARNED: dict[str, int] = {}
on_reset(_LEARNED.clear)

NO_SOCKET = "all connections to the exchange are in use"


@dataclass(slots=True, eq=False)
class Socket:
    """One connection with the series on it. Pinned series have sockets of their own.

    `most` is how many it carries at most, known once it refused one.
    """

    number: str
    is_pinned: bool
    series: set[SeriesId] = field(default_factory=set)
    answered: set[SeriesId] = field(default_factory=set)
    most: int | None = None


class SocketPlan:
    """The sockets to one venue, and what is known of how many series one carries."""

    def __init__(self, venue: str, *, room: int, sockets: int) -> None:
        self.room = min(room, _LEARNED.get(venue, room))
        self.sockets: dict[str, Socket] = {}
        # Why these are not streamed.
        self.unserved: dict[SeriesId, str] = {}
        self.venue = venue
        self._most_sockets = sockets
        self._socket_of: dict[SeriesId, Socket] = {}
        self._refused_by: dict[SeriesId, Socket] = {}
        self._moves: dict[SeriesId, int] = {}
        # The most series that were served on one socket at a time.
        self._served = 0

    def socket_of(self, series: SeriesId) -> Socket | None:
        """The socket of a series, if it has one."""
        return self._socket_of.get(series)

    def place(self, series: SeriesId, *, is_pinned: bool) -> Socket | None:
        """Give a series a place on a socket, a new one if need be.

        None, with the reason in `unserved`, when there may be no more sockets. Half of them are
        left to pinned series.
        """
        origin = self._refused_by.get(series)
        room = min(self.room, (origin.most if origin else None) or self.room)
        fitting = (
            one
            for one in self.sockets.values()
            if one is not origin and one.is_pinned == is_pinned and self._fits(one, room)
        )
        socket = next(fitting, None)
        if socket is None:
            most = self._most_sockets if is_pinned else max(1, self._most_sockets // 2)
            if len(self.sockets) >= most:
                self.unserved[series] = NO_SOCKET
                return None
            free = (number for number in map(str, range(most)) if number not in self.sockets)
            number = next(free)
            socket = self.sockets[number] = Socket(number, is_pinned)
        socket.series.add(series)
        self._socket_of[series] = socket
        return socket

    def answered(self, series: SeriesId) -> None:
        """Something of a series arrived: its socket serves it.

        If another socket refused it, that one's number of series is the limit of the venue.
        """
        socket = self._socket_of.get(series)
        if socket is None or series in socket.answered:
            return
        socket.answered.add(series)
        self._served = max(self._served, len(socket.answered))
        origin = self._refused_by.pop(series, None)
        self._moves.pop(series, None)
        if origin is not None and origin.most is not None:
            room = max(self._served, min(self.room, origin.most))
            if room < self.room:
                self.room = _LEARNED[self.venue] = room
                logger.info("%s: at most %d series on a socket", self.venue, room)

    def refused(self, series: Collection[SeriesId], reason: str) -> list[SeriesId]:
        """These series of one socket are not served there; return those to subscribe there again.

        The others have no place now: they are placed anew, except those in `unserved`.
        """
        found = [each for each in series if each in self._socket_of]
        if not found:
            return []
        socket = self._socket_of[found[0]]
        others = socket.series - set(found)
        if not others and len(found) == 1:
            self.set_unserved(found[0], reason)
            return []
        kept = [] if others else found[: (len(found) + 1) // 2]
        socket.most = max(1, len(others) or len(kept))
        for each in found[len(kept) :]:
            self._move(each, socket, reason)
        return kept

    def doubted(self, series: SeriesId) -> None:
        """A series fell silent, so its socket may not serve it any more."""
        if (socket := self._socket_of.get(series)) is not None:
            socket.answered.discard(series)

    def leave(self, series: Iterable[SeriesId]) -> None:
        """These series are no longer followed, or begin anew."""
        for each in list(series):
            self._remove(each)
            self._refused_by.pop(each, None)
            self._moves.pop(each, None)
            self.unserved.pop(each, None)

    def drop_empty(self, number: str) -> None:
        """Forget a socket without series."""
        if not self.sockets[number].series:
            del self.sockets[number]

    def _fits(self, socket: Socket, room: int) -> bool:
        return len(socket.series) < min(room, socket.most or room)

    def _move(self, series: SeriesId, socket: Socket, reason: str) -> None:
        self._remove(series)
        self._refused_by[series] = socket
        self._moves[series] = self._moves.get(series, 0) + 1
        if self._moves[series] > MOST_MOVES:
            self.set_unserved(series, reason)

    def set_unserved(self, series: SeriesId, reason: str) -> None:
        """A series is not streamed, for this reason, until it leaves."""
        self._remove(series)
        # It is refused wherever it is, so the other socket was not full.
        if (origin := self._refused_by.pop(series, None)) is not None:
            origin.most = None
        self.unserved[series] = reason

    def _remove(self, series: SeriesId) -> None:
        socket = self._socket_of.pop(series, None)
        if socket is not None:
            socket.series.discard(series)
            socket.answered.discard(series)
