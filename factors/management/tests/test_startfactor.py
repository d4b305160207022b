"""startfactor: the skeleton works as it is written."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from factors.domain.registered import registered
from lab.waiting import patience
from overlays.domain.registered import registered_renderers

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


def in_checkout(root, *command, server=None):
    paths = {} if server is None else {"PYTHONPATH": str(server)}
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=root,
        env={**os.environ, **paths},
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


PACKAGE = [
    "pyproject.toml",
    "README.md",
    "trade_canvas_close_run/__init__.py",
    "trade_canvas_close_run/factor.py",
    "trade_canvas_close_run/drawings.py",
    "tests/test_close_run.py",
]


@pytest.fixture
def package(tmp_path):
    """A package of its own, and what writing it printed."""
    folder, out = tmp_path / "made" / "here", io.StringIO()
    call_command("startfactor", "close_run", "--package", str(folder), stdout=out)
    assert out.getvalue().split() == PACKAGE
    return folder


def test_package_passes_its_test_and_the_linter(package):
    written = [path for path in PACKAGE if path.endswith(".py")]
    own = ["factors", "market", "overlays", "trade_canvas_close_run"]
    config = f"lint.isort.known-first-party={json.dumps(own)}"
    in_checkout(package, "ruff", "check", "--no-cache", "--line-length=100", "--config", config)
    in_checkout(package, "ruff", "format", "--check", "--no-cache", "--line-length=100", *written)
    in_checkout(package, "pytest", "-q", "-p", "no:django", "-p", "no:cacheprovider", server=ROOT)


def test_package_is_loaded_by_its_entry_points_once_it_is_installed(package, monkeypatch):
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    # What pip writes beside a package.
    metadata = package / "trade_canvas_close_run-0.1.0.dist-info"
    metadata.mkdir()
    lines = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (metadata / "METADATA").write_text(lines)
    groups = project["entry-points"].items()
    text = "".join(
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in groups
    )
    (metadata / "entry_points.txt").write_text(text)
    monkeypatch.syspath_prepend(package)
    known = registered(foreign="close_run")
    (factor,) = [each for each in known.factors if each.name == "close_run"]
    assert factor.package == "trade-canvas-close-run 0.1.0"
    renderers = {each.factor for each in registered_renderers(known, foreign="close_run")}
    assert "close_run" in renderers


def test_package_is_not_overwritten(package):
    before = (package / "README.md").read_text()
    assert before.startswith("# Close run\n") and "TRADE_CANVAS_FOREIGN_FACTORS" in before
    with pytest.raises(CommandError, match="exists already"):
        call_command("startfactor", "close_run", "--package", str(package))
    assert (package / "README.md").read_text() == before


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
