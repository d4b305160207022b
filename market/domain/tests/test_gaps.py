"""What open times lack of the grid."""

from __future__ import annotations

import pytest

from market.domain.gaps import missing_runs
from market.domain.timeframe import Timeframe


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([60, 120, 180, 240], []),
        ([], [(60, 240)]),
        ([120], [(60, 60), (180, 240)]),
        ([60, 240], [(120, 180)]),
        ([60, 180], [(120, 120), (240, 240)]),
    ],
)
def test_missing_runs_are_what_the_times_lack(times, expected):
    assert list(missing_runs(times, 60, 240, Timeframe.parse("1m"))) == expected
