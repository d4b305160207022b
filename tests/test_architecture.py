"""Rules that no single module can hold: which way imports run, and what nobody may use."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Each may import itself and those before it.
APPS = ("market", "factors", "overlays", "trade_canvas")
# What is an app's own code, as opposed to its tests.
SOURCES = sorted(
    path for app in APPS for path in (ROOT / app).rglob("*.py") if "tests" not in path.parts
)
DOMAIN = [path for path in SOURCES if "domain" in path.parts]
SQLITE = "sql" + "ite"
READER = ROOT / "trade_canvas" / "switches.py"


def imported(path):
    """Return every module that a file imports, wherever the statement stands."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def name_of(path):
    return str(path.relative_to(ROOT))


def test_domain_exists_and_is_seen():
    assert len(DOMAIN) > 5


@pytest.mark.parametrize("path", DOMAIN, ids=name_of)
def test_domain_imports_only_the_standard_library_and_domain(path):
    for name in imported(path):
        parts = name.split(".")
        ours = parts[0] in APPS and parts[1] == "domain"
        assert ours or parts[0] in sys.stdlib_module_names, f"imports {name}"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_run_one_way(path):
    app = path.relative_to(ROOT).parts[0]
    allowed = APPS[: APPS.index(app) + 1]
    for name in imported(path):
        first = name.split(".")[0]
        assert first not in APPS or first in allowed, f"{app} imports {name}"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_code_knows_one_database_only(path):
    assert SQLITE not in path.read_text().lower()


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_switches_are_read_in_one_place(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert not node.value.startswith("TRADE_CANVAS_") or path == READER, node.value
