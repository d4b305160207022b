"""Rules over all modules that import-linter does not know: names that may not appear."""

from __future__ import annotations

import ast
import sys

from tests.distribution import INSTALLATION_OF
from tests.sources import ROOT, sources

PACKAGES = ("market", "factors", "overlays", "trade_canvas", "lab")
SOURCES = sources(*PACKAGES)
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


def test_domain_imports_only_the_standard_library_and_domain():
    """import-linter forbids packages by name; this leaves no other in."""
    domain = [path for path in SOURCES if "domain" in path.relative_to(ROOT).parts]
    imported = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in domain
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _names(node)
    }
    assert len(domain) > 30
    allowed = {f"{package}.domain" for package in PACKAGES} | set(sys.stdlib_module_names)
    assert {each for each in imported if _room(each[1]) not in allowed} == set()


def _names(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [f"{node.module}.{node.names[0].name}"] if isinstance(node, ast.ImportFrom) else []


def _room(name):
    first, _, rest = name.partition(".")
    return f"{first}.{rest.partition('.')[0]}" if first in PACKAGES else first


def test_files_that_share_an_installation_are_kept_together(request):
    """Each test process that has one of them would start another."""
    uses = {
        each.nodeid.partition("::")[0]
        for each in request.session.items
        if "installed" in each.fixturenames
    }
    assert uses <= set(INSTALLATION_OF)
    assert all((ROOT / path).is_file() for path in INSTALLATION_OF)
