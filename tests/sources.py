"""The code's own files, for tests that read them."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]


def sources(*folders: str) -> list[Path]:
    """Return the Python files below folders of the repository, without the tests among them."""
    return [
        path
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        # Not of the whole path: the checkout itself may be in a folder of that name.
        if "tests" not in path.relative_to(ROOT).parts
    ]
