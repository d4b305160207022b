"""The step of prices, in each of ccxt's ways to state a precision."""

from __future__ import annotations

import ccxt
import pytest

from market.exchanges.price_step import UNKNOWN, PriceStep, price_step


@pytest.mark.parametrize(
    ("mode", "precision", "tick"),
    [
        (ccxt.TICK_SIZE, 0.5, 0.5),
        (ccxt.TICK_SIZE, 0.25, 0.25),
        (ccxt.TICK_SIZE, 10, 10.0),
        (ccxt.TICK_SIZE, 1e-8, 0.00000001),
        (ccxt.TICK_SIZE, "0.01", 0.01),
        (ccxt.DECIMAL_PLACES, 2, 0.01),
        (ccxt.DECIMAL_PLACES, 8, 0.00000001),
        (ccxt.DECIMAL_PLACES, 0, 1.0),
        (ccxt.DECIMAL_PLACES, -1, 10.0),
        (ccxt.DECIMAL_PLACES, "3", 0.001),
    ],
)
def test_tick_is_exact_in_both_modes_that_have_one(mode, precision, tick):
    assert price_step(mode, precision) == PriceStep(tick=tick)


def test_significant_digits_are_no_tick():
    assert price_step(ccxt.SIGNIFICANT_DIGITS, 5) == PriceStep(digits=5)


@pytest.mark.parametrize(
    ("mode", "precision"),
    [
        (ccxt.TICK_SIZE, None),
        (ccxt.TICK_SIZE, 0),
        (ccxt.TICK_SIZE, -1),
        (ccxt.TICK_SIZE, float("nan")),
        (ccxt.TICK_SIZE, "often"),
        (ccxt.DECIMAL_PLACES, 0.01),
        (ccxt.DECIMAL_PLACES, 400),
        (ccxt.SIGNIFICANT_DIGITS, 0),
    ],
)
def test_what_is_no_step_is_unknown(mode, precision):
    assert price_step(mode, precision) == UNKNOWN


@pytest.mark.parametrize("name", ["binance", "bitfinex", "kraken"])
def test_modes_are_those_that_ccxt_states(name):
    """Ours for a number rounds as ccxt's own price_to_precision does."""
    exchange = getattr(ccxt, name)()
    precision = 5 if exchange.precisionMode == ccxt.SIGNIFICANT_DIGITS else 0.01
    exchange.markets = {"A/B": {"symbol": "A/B", "precision": {"price": precision}}}
    rounded = float(exchange.price_to_precision("A/B", 1234.5678))
    step = price_step(exchange.precisionMode, precision)
    assert rounded == (1234.57 if step.tick else float(f"{1234.5678:.{step.digits}g}"))
