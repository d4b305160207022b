"""Version, licence and package metadata: each is written once and shown everywhere."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from trade_canvas import __version__

ROOT = Path(__file__).parents[1]
FRONTEND = ROOT / "frontend"
TYPESCRIPT_CLIENT = ROOT / "clients" / "typescript"


@pytest.mark.parametrize("arguments", [("--version",), ("version",), ("up", "--version")])
def test_commands_show_the_version(arguments):
    command = [sys.executable, ROOT / "manage.py", *arguments]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown.startswith(f"trade_canvas {__version__} (Django ")


def test_schema_shows_the_version(client):
    schema = client.get("/api/schema/", {"format": "json"}).json()
    assert schema["info"]["version"] == __version__


@pytest.mark.parametrize("name", ["package.json", "package-lock.json"])
def test_page_has_the_version(name):
    assert json.loads((FRONTEND / name).read_text())["version"] == __version__


def test_typescript_client_has_version_and_licence():
    package = json.loads((TYPESCRIPT_CLIENT / "package.json").read_text())
    assert (package["version"], package["license"]) == (__version__, "Apache-2.0")
    assert (TYPESCRIPT_CLIENT / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert not package.get("dependencies")


def test_metadata_reads_the_version_and_describes_an_application():
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    changing = {"version", "dependencies", "optional-dependencies"}
    assert set(content["project"]["dynamic"]) == changing
    assert content["tool"]["setuptools"]["packages"] == []
    dynamic = content["tool"]["setuptools"]["dynamic"]
    assert dynamic["version"] == {"attr": "trade_canvas.__version__"}
    required = dynamic["dependencies"]["file"]
    extra = dynamic["optional-dependencies"]["arrow"]["file"]
    for file in [*content["project"]["license-files"], *required, *extra]:
        assert (ROOT / file).is_file()


def test_page_serves_the_notice_of_its_chart_library():
    notice = (FRONTEND / "NOTICE").read_text()
    assert (FRONTEND / "public" / "notice.txt").read_text() == notice
