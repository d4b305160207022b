"""Many series as pasted text: each entry is read, checked, and given one outcome."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from django.utils.translation import gettext as _

from market.domain.feed import FeedError, FeedRefused
from market.domain.lease_store import Venue
from market.domain.series import SeriesAlias, SeriesId, SeriesIdError
from market.domain.timeframe import TimeframeError
from market.exchanges import listings
from market.exchanges.ccxt_client import check_known
from market.models import WhitelistedSeries
from market.runtime import derived_timeframes
from market.wording import explained

log = logging.getLogger(__name__)

MOST_CHARACTERS = 20_000
MOST_ENTRIES = 200
# The listing of each is read and kept, which takes seconds and up to tens of megabytes.
MOST_VENUES = 8

_SEPARATORS = re.compile("[,;，；、]")
# What surrounds an entry that was copied from JSON, code or a list.
_WRAPPING = " \t\r\ufeff\u200b\"'`“”‘’[]{}()•*"
_COMMENT = "#"


class Code(StrEnum):
    """The outcomes of an entry beside the codes of FeedRefused; they are stable."""

    NEW = "new"
    UNCHECKED = "unchecked"
    EXISTS = "exists"
    DUPLICATE = "duplicate"
    INVALID_SERIES_ID = "invalid_series_id"
    INVALID_TIMEFRAME = "invalid_timeframe"
    TOO_MANY_MARKETS = "too_many_markets"


ADDED = (Code.NEW, Code.UNCHECKED)
KNOWN = (Code.EXISTS, Code.DUPLICATE)


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the text, the line (from 1) that it is on, and what became of it."""

    line: int
    text: str
    series: SeriesId | None = None
    code: str = ""
    reason: str = ""

    @property
    def is_added(self) -> bool:
        """Whether saving adds it."""
        return self.code in ADDED

    @property
    def kind(self) -> str:
        """How it is shown: added, known or refused."""
        if self.is_added:
            return "added"
        return "known" if self.code in KNOWN else "refused"

    def with_outcome(self, code: str, reason: str) -> Entry:
        """This entry with what becomes of it, and why."""
        return replace(self, code=code, reason=reason)


def entries_of(text: str) -> Iterator[Entry]:
    """The entries of a text: one a line, or several with commas; lines with # are comments."""
    for number, line in enumerate(text.splitlines(), start=1):
        for piece in _SEPARATORS.split(line.partition(_COMMENT)[0]):
            if entry := piece.strip(_WRAPPING):
                yield Entry(number, entry)


def series_of_text(text: str, venue: Venue) -> SeriesId:
    """The series that an entry names; raises SeriesIdError.

    A whole id, or the same with spaces, or only symbol and timeframe (``BTC/USDT 1m``) of `venue`.
    A symbol in small letters is written in capitals, as exchanges do.
    """
    parts = [part for part in re.split(r"[\s:]+", text) if part]
    if parts and "/" in parts[0]:
        parts = [*venue, *parts]
    if len(parts) < 4:
        raise SeriesIdError("write it as BTC/USDT 1m, or whole as exchange:market:symbol:timeframe")
    exchange, market, *symbol, timeframe = parts
    name = ":".join(symbol)
    name = name.upper() if name.islower() else name
    return SeriesId.parse(f"{exchange.lower()}:{market.lower()}:{name}:{timeframe}")


def checked(entries: Iterable[Entry], venue: Venue) -> list[Entry]:
    """Every entry with its outcome; `venue` is that of entries which name none. Blocking.

    Exchanges are asked for their listings, for ten seconds at most.
    """
    read = _without_known(_without_repeats([_read(entry, venue) for entry in entries]))
    answers = ask({entry.series for entry in read if entry.series and not entry.code})
    return [
        entry if entry.code or entry.series is None else _answered(entry, answers[entry.series])
        for entry in read
    ]


def _read(entry: Entry, venue: Venue) -> Entry:
    try:
        series = series_of_text(entry.text, venue)
        series.require_canonical()
        check_known(series.exchange, series.market)
    except SeriesAlias as alias:
        return entry.with_outcome(alias.code, explained(alias))
    except SeriesIdError as error:
        is_timeframe = isinstance(error.__cause__, TimeframeError)
        code = Code.INVALID_TIMEFRAME if is_timeframe else Code.INVALID_SERIES_ID
        return entry.with_outcome(code, explained(error))
    except FeedRefused as error:
        return entry.with_outcome(error.code, explained(error))
    return replace(entry, series=series)


def _without_repeats(entries: list[Entry]) -> list[Entry]:
    """The entries, those marked that name a series again or one market too many."""
    lines: dict[SeriesId, int] = {}
    venues: set[Venue] = set()
    marked = []
    for entry in entries:
        series = entry.series
        if series is None:
            marked.append(entry)
            continue
        if series in lines:
            first = {"line": lines[series]}
            entry = entry.with_outcome(Code.DUPLICATE, _("already on line %(line)d") % first)
        elif Venue.of(series) not in venues and len(venues) >= MOST_VENUES:
            most = {"most": MOST_VENUES}
            reason = _("more than %(most)d markets at once: paste it separately") % most
            entry = entry.with_outcome(Code.TOO_MANY_MARKETS, reason)
        else:
            venues.add(Venue.of(series))
            lines[series] = entry.line
        marked.append(entry)
    return marked


def _without_known(entries: list[Entry]) -> list[Entry]:
    """The entries, those marked that the whitelist has already."""
    names = [str(entry.series) for entry in entries if entry.series]
    rows = WhitelistedSeries.objects.filter(series_id__in=names)
    known = dict(rows.values_list("series_id", "enabled"))
    return [
        entry
        if entry.code or str(entry.series) not in known
        else entry.with_outcome(Code.EXISTS, _in_whitelist(known[str(entry.series)]))
        for entry in entries
    ]


def _in_whitelist(is_enabled: bool) -> str:
    return _("already in the whitelist") if is_enabled else _("in the whitelist, but disabled")


def _answered(entry: Entry, answer: str | FeedRefused) -> Entry:
    if isinstance(answer, FeedRefused):
        return entry.with_outcome(answer.code, explained(answer))
    return entry.with_outcome(*((Code.UNCHECKED, answer) if answer else (Code.NEW, "")))


def ask(series: Collection[SeriesId]) -> dict[SeriesId, str | FeedRefused]:
    """What the exchanges answer about series: a refusal, or why one is not checked. Blocking.

    An empty text means that the series is listed.
    """
    return asyncio.run(_ask(list(series)))


async def _ask(series: list[SeriesId]) -> dict[SeriesId, str | FeedRefused]:
    return dict(zip(series, await asyncio.gather(*map(_ask_one, series)), strict=True))


async def _ask_one(series: SeriesId) -> str | FeedRefused:
    try:
        # Of a derived series the exchange need only have the base.
        await listings.check(derived_timeframes().source_of(series))
    except FeedRefused as refused:
        return refused
    except (FeedError, TimeoutError) as error:
        log.warning("%s is whitelisted without a check: %s", series, error)
        name = {"exchange": series.exchange}
        return _("%(exchange)s did not answer, so the series is not checked.") % name
    return ""
