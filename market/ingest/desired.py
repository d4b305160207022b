"""Which series are to be followed now: the whitelist and what is watched, as the switches say.

The whitelist is rows that an admin edits, or a JSON file where there is no database.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings

from market.domain.lease_store import LeasedSeries, LeaseStore
from market.domain.series import SeriesId, SeriesIdError
from market.exchanges.ccxt_feed import known_exchanges
from market.models import WhitelistedSeries
from market.runtime import derived_timeframes

log = logging.getLogger(__name__)


class Desired(NamedTuple):
    """A series to follow: pinned by the whitelist, leased, or lingering after its last lease.

    `derived` are the series made of it whose forming candle a watcher may want.
    """

    series: SeriesId
    is_pinned: bool
    lease: LeasedSeries | None
    derived: frozenset[SeriesId] = frozenset()

    @property
    def is_watched(self) -> bool:
        """Whether a watcher may want the forming candle.

        Leases show where the watchers are. Where they are not taken (on demand off) or are not
        shared (each process keeps its own, and readers beside it take none), every series counts as
        watched.
        """
        switches = settings.SWITCHES
        has_unseen = switches.ingest_in_process and switches.enable_ingest_role_guard
        leases_show = switches.enable_ondemand_ingest and not has_unseen
        return self.lease is not None or not leases_show


def desired_series(leases: LeaseStore) -> list[Desired]:
    """What to follow now: the whitelist first, and each part ascending by id. Blocking.

    Raises LeaseStoreUnavailable or a database error: the caller then keeps the previous answer.
    """
    switches = settings.SWITCHES
    leased: list[LeasedSeries] = []
    if switches.enable_ondemand_ingest:
        leased = leases.leased(idle_ttl=switches.ondemand_idle_ttl_s)
    found = combine(pinned_series(), leased)
    if not switches.enable_derived_timeframes:
        return found
    watched = leases.watched() if switches.enable_ondemand_ingest else None
    return [each._replace(derived=_watched_of(each, watched)) for each in found]


def _watched_of(desired: Desired, watched: set[SeriesId] | None) -> frozenset[SeriesId]:
    """The series derived of a desired one that are watched, or all where that can't be known."""
    derived = derived_timeframes().derived_of(desired.series)
    if watched is None or desired.lease is None:
        return frozenset(derived) if desired.is_watched else frozenset()
    return frozenset(each for each in derived if each in watched)


def pinned_series() -> list[SeriesId]:
    """What the whitelist has followed, or nothing while its switch is off. Blocking."""
    return followed_whitelist() if settings.SWITCHES.enable_whitelist_ingest else []


def followed_whitelist() -> list[SeriesId]:
    """The series to follow for the whitelist: of a derived one its base. Blocking."""
    source_of = derived_timeframes().source_of
    return list(dict.fromkeys(source_of(each) for each in whitelisted_series()))


def combine(pinned: Iterable[SeriesId], leased: Iterable[LeasedSeries]) -> list[Desired]:
    """Both sources as one list, the pinned first, without series of unknown exchanges."""
    leases: dict[SeriesId, LeasedSeries] = {}
    for each in leased:
        # A process that knows of no derived series leases those themselves.
        series = derived_timeframes().source_of(each.series)
        other = leases.get(series, LeasedSeries(series, 0, 0.0))
        leases[series] = LeasedSeries(
            series, each.leases + other.leases, max(each.leased_until, other.leased_until)
        )
    pins = set(pinned)
    exchanges = known_exchanges()
    return [
        Desired(series, series in pins, leases.get(series))
        for series in sorted({*pins, *leases}, key=lambda each: (each not in pins, str(each)))
        if series.exchange in exchanges
    ]


def whitelisted_series() -> list[SeriesId]:
    """The enabled series of the whitelist in its order, each once. Blocking.

    Invalid entries are skipped with a warning; a missing or broken file is an empty list. Another
    name of a series (in the file, or a row that an earlier version accepted) means that series.
    """
    found: dict[SeriesId, None] = {}
    for entry in _rows() if settings.SWITCHES.enable_pg_store else _file_entries():
        if not isinstance(entry, str) or not entry.strip():
            continue
        try:
            found[SeriesId.parse(entry.strip()).canonical()] = None
        except SeriesIdError as error:
            log.warning("whitelist: %r is skipped: %s", entry, error)
    return list(found)


def _rows() -> list[str]:
    enabled = WhitelistedSeries.objects.filter(enabled=True).order_by("pk")
    return list(enabled.values_list("series_id", flat=True))


def _file_entries() -> list[Any]:
    path = Path(settings.BASE_DIR) / settings.SWITCHES.whitelist_path
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        log.warning("whitelist: %s can't be read: %s", path, error)
        return []
    entries = content.get("series_ids") if isinstance(content, dict) else content
    return entries if isinstance(entries, list) else []
