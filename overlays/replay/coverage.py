"""Completing the candles that a package is to have: jobs named by what they must reach.

A job is a backfill of its range by the workers, as any other. Its state is what is stored now, so
only its name has to be remembered, which all processes share. All functions block.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from django.conf import settings

from market.domain.series import SeriesId, SeriesIdError
from market.ingest import coverage
from market.ingest.admission import is_admitted
from market.ingest.runtime import lease_store
from market.runtime import candle_store, derived_timeframes

PREFIX = "coverage_"
MISSING = "coverage_missing"

# A job is remembered, and not begun again, for this long.
REMEMBERED_S = 3600.0


@dataclass(frozen=True, slots=True)
class CoverageJob:
    """The newest `target_candles` candles up to `to_time` (open time) that shall be stored."""

    series: SeriesId
    to_time: int
    target_candles: int

    @staticmethod
    def of(series: SeriesId, to_time: int | None, target_candles: int) -> CoverageJob:
        """The job for a request; without a time: up to the newest candle."""
        if to_time is None:
            head = candle_store().state(series).head
            to_time = series.timeframe.open_of(time.time()) if head is None else head
        return CoverageJob(series, to_time, target_candles)

    @staticmethod
    def parse(job_id: str) -> CoverageJob | None:
        """The job with this id; None for what is no id."""
        series, _, rest = job_id.removeprefix(PREFIX).rpartition(":")
        series, _, to_time = series.rpartition(":")
        if not job_id.startswith(PREFIX) or not (to_time.isdecimal() and rest.isdecimal()):
            return None
        try:
            return CoverageJob(SeriesId.parse(series), int(to_time), int(rest))
        except SeriesIdError:
            return None

    @property
    def job_id(self) -> str:
        """The id of the job: the same for the same request."""
        return f"{PREFIX}{self.series}:{self.to_time}:{self.target_candles}"

    @property
    def fetched(self) -> tuple[SeriesId, int, int]:
        """The series to fetch, and its range: of a derived series that of its base."""
        start, end = self.span
        base = derived_timeframes().base_of(self.series)
        if base is None:
            return self.series, start, end
        step = base.timeframe.seconds
        end = self.series.timeframe.close_of(end) - step
        return base, max(start, end - (coverage.MOST_BASE_CANDLES - 1) * step), end

    @property
    def span(self) -> tuple[int, int]:
        """The first and last open time of the range."""
        timeframe = self.series.timeframe
        start = timeframe.moved(self.to_time, 1 - self.target_candles)
        return max(timeframe.first_open(0), start), self.to_time


@dataclass(frozen=True, slots=True)
class CoverageState:
    """How far a job is."""

    status: Literal["building", "done", "error"]
    candles_ready: int
    head_time: int
    error: str | None = None


def begin(job: CoverageJob) -> bool:
    """Have the candles of a job fetched; False for a job that is known already.

    Raises market.domain.lease_store.LeaseStoreUnavailable.
    """
    if not lease_store().claim(job.job_id, ttl=REMEMBERED_S):
        return False
    series, start, end = job.fetched
    if _may_fetch(series) and _ready(job) < job.target_candles:
        coverage.request_backfill(series, start, end)
    return True


def state_of(job: CoverageJob) -> CoverageState | None:
    """The state of a job; None for one that is not known.

    Raises market.domain.lease_store.LeaseStoreUnavailable.
    """
    if not lease_store().is_claimed(job.job_id):
        return None
    # In this order: what ends meanwhile has stored its candles.
    is_fetching = coverage.is_requested(*job.fetched)
    ready, head = _ready(job), candle_store().state(job.series).head or 0
    if ready >= job.target_candles:
        return CoverageState("done", ready, head)
    if is_fetching:
        return CoverageState("building", ready, head)
    return CoverageState("error", ready, head, MISSING)


def _ready(job: CoverageJob) -> int:
    return min(job.target_candles, candle_store().count(job.series, *job.span))


def _may_fetch(series: SeriesId) -> bool:
    """Whether the switches and the exchange's listing let the series be fetched."""
    if not (settings.SWITCHES.enable_ccxt_backfill and coverage.is_supported(series)):
        return False
    return candle_store().state(series).head is not None or is_admitted(series)
