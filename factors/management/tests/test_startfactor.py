"""startfactor: the skeleton works as it is written."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from lab.waiting import patience

ROOT = Path(__file__).parents[3]
WRITTEN = [
    "factors/domain/close_run.py",
    "overlays/domain/close_run.py",
    "overlays/domain/tests/test_close_run.py",
    "docs/factors/close_run.md",
    "factors/domain/all_factors.py",
    "overlays/domain/all_renderers.py",
]


@pytest.fixture
def checkout(tmp_path):
    """A copy of what a pure test needs."""
    for app in ("market", "factors", "overlays"):
        shutil.copytree(ROOT / app / "domain", tmp_path / app / "domain")
        (tmp_path / app / "__init__.py").touch()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def start(name, root):
    out = io.StringIO()
    call_command("startfactor", name, "--root", str(root), stdout=out)
    return out.getvalue().split()


def in_checkout(root, *command):
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=patience(60),
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_skeleton_passes_its_test_and_the_linter(checkout):
    assert start("close_run", checkout) == WRITTEN
    test = "overlays/domain/tests/test_close_run.py"
    in_checkout(checkout, "pytest", "-q", "-p", "no:django", "-p", "no:cacheprovider", test)
    written = [path for path in WRITTEN if path.endswith(".py")]
    in_checkout(checkout, "ruff", "check", "--no-cache", *written)
    in_checkout(checkout, "ruff", "format", "--check", "--no-cache", *written)
    assert "# Close run\n" in (checkout / "docs/factors/close_run.md").read_text()


@pytest.mark.parametrize("name", ["Pen", "1st", "a-b", "class", ""])
def test_bad_name_is_refused(checkout, name):
    with pytest.raises(CommandError, match="lower case"):
        start(name, checkout)


def test_existing_factor_is_not_overwritten(checkout):
    before = (checkout / "factors/domain/pen.py").read_text()
    with pytest.raises(CommandError, match="exists already"):
        start("pen", checkout)
    assert (checkout / "factors/domain/pen.py").read_text() == before


def test_unexpected_list_is_left_to_people(checkout):
    (checkout / "overlays/domain/all_renderers.py").write_text("RENDERERS = ()\n")
    with pytest.raises(CommandError, match="by hand"):
        start("close_run", checkout)
    assert not (checkout / "factors/domain/close_run.py").exists()
