"""The examples run as they are."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from xml.etree import ElementTree

EXAMPLES = Path(__file__).parents[2] / "examples"
CHECKOUT = EXAMPLES.parents[2]


def test_levels_are_drawn_from_a_file(capsys, monkeypatch, tmp_path):
    file = CHECKOUT / "tests" / "vectors" / "p2.candles.csv"
    picture = tmp_path / "levels.svg"
    monkeypatch.setattr(sys, "argv", ["levels.py", str(file), str(picture)])
    names = runpy.run_path(str(EXAMPLES / "levels.py"))
    printed = capsys.readouterr().out
    assert "2800 candles of p2.candles.csv" in printed
    assert "pen.confirmed" in printed
    document = ElementTree.fromstring(picture.read_text())
    drawn = {each.get("data-feature") for each in document.iter()}
    shown = {each.feature for each in names["run"].drawings()}
    assert {"pen.confirmed", "sr.active", "pivot.major"} <= drawn & shown
