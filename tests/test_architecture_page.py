"""docs/architecture.md leads somewhere: its files, and the names it gives in them, exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
TOKEN = re.compile(r"`([^`]+)`")
NAME = re.compile(r"[A-Za-z_]\w*(\.\w+)*")
FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "."}


def named(page: str) -> Iterator[tuple[str, str | None]]:
    """Each path of the page, alone and with every name that follows it in the same cell or line."""
    for line in page.splitlines():
        for cell in re.split(r" \| |; ", line):
            path = None
            # A name belongs to the file before it; words end that, commas do not.
            for between, token in re.findall(r"([^`]*)`([^`]+)`", cell):
                if token.split("/")[0] in FOLDERS and "/" in token:
                    path = token
                    yield path, None
                elif path and NAME.fullmatch(token) and between.strip() in ("", ","):
                    yield path, token
                else:
                    path = None


def names_in(path: Path) -> set[str]:
    """The functions, classes, methods and constants of a module."""
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        names |= set(_names(node))
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{name}" for inner in node.body for name in _names(inner)}
    return names


def _names(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (target.id for target in targets if isinstance(target, ast.Name))


def missing(page: str) -> list[str]:
    """What the page names that does not exist."""
    found = []
    for path, name in named(page):
        if not (ROOT / path).exists():
            found.append(path)
        elif name and name not in names_in(ROOT / path):
            found.append(f"{path} {name}")
    return found


def test_names_that_do_not_exist_are_found():
    page = "| a | `market/runtime.py` `candle_store`, `gone` | `docs/gone.md` |"
    assert missing(page) == ["market/runtime.py gone", "docs/gone.md"]


def test_page_names_files_and_functions_that_exist():
    assert missing(PAGE) == []


def test_page_lists_every_room():
    passed_over = {"tests", "migrations", "management"}
    rooms = {
        path.parent.relative_to(ROOT).as_posix()
        for top in ("market", "trade_canvas")
        for path in (ROOT / top).glob("*/__init__.py")
        if path.parent.name not in passed_over
    }
    rooms |= {"factors", "overlays", "lab", "frontend", "docker"}
    assert {room for room in rooms if f"`{room}`" not in PAGE} == set()
