"""Which markets are halted: as followers report, asked for at most every few seconds."""

from __future__ import annotations

from market.domain.lease_store import JobReport, LeaseStoreUnavailable
from market.domain.series import SeriesId
from market.ingest.halted import KEPT_S, HaltedMarkets

OLD = SeriesId.parse("sim:spot:OLD/USDT:1m")
BTC = SeriesId.parse("sim:spot:BTC/USDT:1m")


class Reports:
    def __init__(self):
        self.now, self.asked, self.halted, self.is_down = 0.0, [], {OLD}, False
        self.markets = HaltedMarkets(self.read, clock=lambda: self.now)

    def read(self, series):
        self.asked.append(set(series))
        if self.is_down:
            raise LeaseStoreUnavailable("down")
        return {
            each: JobReport(state="running", started_at=1.0, is_halted=True)
            for each in series
            if each in self.halted
        }


def test_reports_are_asked_for_once_in_a_while():
    it = Reports()
    assert it.markets.among([OLD, BTC]) == {OLD}
    assert it.markets.among([BTC]) == frozenset()
    assert it.asked == [{OLD, BTC}]
    it.halted, it.now = {BTC}, KEPT_S
    assert it.markets.among([OLD, BTC]) == {BTC}


def test_what_was_known_stays_while_the_lease_store_is_away():
    it = Reports()
    it.markets.among([OLD])
    it.is_down, it.now = True, KEPT_S
    assert it.markets.among([OLD, BTC]) == {OLD}


def test_derived_series_is_halted_with_its_base(switched):
    switched(enable_derived_timeframes=True, derived_timeframes="7m")
    derived = SeriesId.parse("sim:spot:OLD/USDT:7m")
    it = Reports()
    assert it.markets.among([derived]) == {derived}
    assert it.asked == [{OLD}]
