"""Rules over all modules that import-linter does not know: names that may not appear."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("market", "factors", "overlays", "trade_canvas", "lab")
SOURCES = [
    path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    if "tests" not in path.parts
]
SQLITE = "sql" + "ite"
SWITCHES = ROOT / "trade_canvas" / "switches.py"


def test_code_knows_one_database_only():
    assert len(SOURCES) > 200
    assert [path for path in SOURCES if SQLITE in path.read_text().lower()] == []


def test_switches_are_read_in_one_place():
    """Only switches.py spells a full TRADE_CANVAS_ name; the lab sets them for others."""
    spelled = [
        (path, node.value)
        for path in SOURCES
        if path != SWITCHES and path.relative_to(ROOT).parts[0] != "lab"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if node.value.startswith("TRADE_CANVAS_")
    ]
    assert spelled == []
