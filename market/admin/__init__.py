"""The admin: the whitelist with its status, the stored series, and the gap ledger."""

from __future__ import annotations

from market.admin.stored import GapRecordAdmin, ReadOnlyAdmin, SeriesAdmin
from market.admin.whitelist import WhitelistedSeriesAdmin

__all__ = ["GapRecordAdmin", "ReadOnlyAdmin", "SeriesAdmin", "WhitelistedSeriesAdmin"]
