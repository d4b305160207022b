"""The examples run as they are."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path
from xml.etree import ElementTree

EXAMPLES = Path(__file__).parents[2] / "examples"
CHECKOUT = EXAMPLES.parents[2]
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


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


def test_code_of_the_page_runs(capsys, monkeypatch, tmp_path):
    page = (CHECKOUT / "docs" / "offline.md").read_text()
    computing, drawing, strategy, _ = PYTHON.findall(page)
    (tmp_path / "tests").symlink_to(CHECKOUT / "tests")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code in (computing, drawing, strategy):
        exec(compile(code, "offline.md", "exec"), names)
    assert "pen.confirmed" in capsys.readouterr().out
    assert (tmp_path / "levels.svg").read_text().startswith("<svg")
    assert callable(names["populate_indicators"])
