"""A process imports at its start only what it uses, and collects no garbage meanwhile."""

from __future__ import annotations

import subprocess
import sys

import ccxt
import pytest

from lab.waiting import patience
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
        [sys.executable, "-c", PROGRAM], cwd=BASE_DIR, text=True, timeout=patience(30)
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


# The program around `manage.py check`, which shows what was collected until it runs.
COMMAND = """
import gc, os
from django.core.management.commands import check
from trade_canvas import failures
collected = []
check.Command.handle = lambda *_, **__: print(gc.isenabled(), gc.get_freeze_count(), collected)
os.environ["DJANGO_SETTINGS_MODULE"] = "trade_canvas.settings"
gc.callbacks.append(lambda phase, about: collected.append(about["generation"]))
failures.main(["manage.py", "check"])
"""


def test_nothing_is_collected_while_a_command_loads():
    shown = subprocess.check_output(
        [sys.executable, "-c", COMMAND], cwd=BASE_DIR, text=True, timeout=patience(30)
    )
    is_enabled, frozen, *collected = shown.split()
    assert is_enabled == "True" and int(frozen) > 100_000
    assert collected == ["[]"]


def exchanges(modules: set[str]) -> set[str]:
    ours = (name for name in modules if name.startswith("ccxt."))
    return {name for name in ours if name.rpartition(".")[2] in ccxt.exchanges}
