"""For tests of what is recorded, whatever factors are installed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from factors import runtime
from factors.domain.registered import Registered
from market import singletons
from tests.recordings import vector_json


@pytest.fixture
def recorded_factors(monkeypatch, settings):
    """Only the factors whose results and sizes are recorded."""
    names = {entry["key"] for entry in vector_json("catalog.json")["factors"]}
    known = Registered(tuple(each for each in runtime.factors().factors if each.name in names))
    settings.SWITCHES = replace(settings.SWITCHES, foreign_factors="", factor_instances="")
    singletons.reset()
    monkeypatch.setattr(runtime, "factors", lambda: known)
