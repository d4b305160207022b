"""Which series are to be followed now: the whitelist and what is watched, as the switches say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from django.conf import settings

from market.domain.lease_store import LeasedSeries, LeaseStore
from market.domain.series import SeriesId
from market.exchanges.ccxt_feed import known_exchanges
from market.ingest.whitelist import whitelisted_series


class Desired(NamedTuple):
    """A series that is to be followed: pinned by the whitelist, or leased (or lingering)."""

    series: SeriesId
    is_pinned: bool
    lease: LeasedSeries | None

    @property
    def is_watched(self) -> bool:
        """Whether somebody may want to see the forming candle.

        Watchers show by their leases. Where some take none (on demand off, or instances that may
        not start ingest), every series counts.
        """
        switches = settings.SWITCHES
        leases_tell = switches.enable_ondemand_ingest and not switches.enable_ingest_role_guard
        return self.lease is not None or not leases_tell


def desired_series(lease_store: LeaseStore) -> list[Desired]:
    """What to follow now, ascending by id. Blocking.

    Raises LeaseStoreUnavailable or a database error: the caller then keeps the previous answer.
    """
    switches = settings.SWITCHES
    leased: list[LeasedSeries] = []
    if switches.enable_ondemand_ingest:
        leased = lease_store.leased(idle_ttl=switches.ondemand_idle_ttl_s)
    return combine(pinned_series(), leased)


def pinned_series() -> list[SeriesId]:
    """The whitelist, or nothing with its switch off. Blocking."""
    return whitelisted_series() if settings.SWITCHES.enable_whitelist_ingest else []


def combine(pinned: Iterable[SeriesId], leased: Iterable[LeasedSeries]) -> list[Desired]:
    """Both sources as one list, without the series of exchanges that nobody knows."""
    leases = {each.series: each for each in leased}
    pins = set(pinned)
    exchanges = known_exchanges()
    return [
        Desired(series, series in pins, leases.get(series))
        for series in sorted({*pins, *leases}, key=str)
        if series.exchange in exchanges
    ]
