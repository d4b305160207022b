from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from lab.drills.steps import STEPS, table
from trade_canvas.switches import Switches

RUNBOOK = Path(__file__).parents[3] / "docs" / "runbook.md"


def test_runbook_has_the_steps_of_the_drill():
    assert table() in RUNBOOK.read_text()


def test_steps_turn_every_switch_off():
    every = {each.name.upper() for each in fields(Switches) if each.name.startswith("enable_")}
    assert {name for step in STEPS for name in step.switches} == every


def test_steps_back_to_one_process_turn_off_what_needs_several():
    for step in STEPS:
        alone = {"ENABLE_WS_PUBSUB", "ENABLE_PG_STORE"} & set(step.switches)
        assert step.one_process == bool(alone)
