"""The engine states that a stage keeps in memory."""

from __future__ import annotations

from factors.ledger_stage import KeptStates
from factors.tests.ledgers import new_series


def test_least_recently_used_state_is_evicted():
    kept, series = KeptStates(most=2), [new_series() for _ in range(3)]
    for each in series[:2]:
        kept.put(each, str(each))
    kept.put(series[0], kept.take(series[0]))
    kept.put(series[2], "new")
    assert [kept.take(each) for each in series] == [str(series[0]), None, "new"]


def test_taken_state_is_gone_until_it_is_put_back():
    kept, series = KeptStates(), new_series()
    kept.put(series, "state")
    assert [kept.take(series), kept.take(series)] == ["state", None]
