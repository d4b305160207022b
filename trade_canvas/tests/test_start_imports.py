"""A process imports at its start only what it uses: a second of processor and 70 MB less."""

from __future__ import annotations

import subprocess
import sys

import ccxt
import pytest

from trade_canvas.environment import BASE_DIR

# What `manage.py web` imports, and the addresses; then one exchange of ccxt is used.
PROGRAM = """
import sys, django
django.setup()
import trade_canvas.management.commands.web, trade_canvas.urls, ccxt
print(*sys.modules)
ccxt.pro.binance
print(*sys.modules)
"""


@pytest.fixture(scope="module")
def modules():
    """The modules of a web process at its start, and those after it used an exchange."""
    shown = subprocess.check_output(
        [sys.executable, "-c", PROGRAM], cwd=BASE_DIR, text=True, timeout=60
    )
    return [set(line.split()) for line in shown.splitlines()]


def test_exchanges_are_imported_when_they_are_used(modules):
    at_start, then = modules
    assert "ccxt.pro" in at_start
    assert exchanges(at_start) == set()
    assert exchanges(then) == {
        f"ccxt.{part}.binance" for part in ("abstract", "async_support", "pro")
    }


def test_twisted_is_imported_by_daphne_alone(modules):
    at_start, _ = modules
    assert "uvicorn" in at_start
    assert not {"twisted", "daphne"} & at_start


def exchanges(modules: set[str]) -> set[str]:
    ours = (name for name in modules if name.startswith("ccxt."))
    return {name for name in ours if name.rpartition(".")[2] in ccxt.exchanges}
