"""The package builds without a network, and needs only what it declares."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

import trade_canvas_client
from lab.waiting import patience
from trade_canvas import __version__
from trade_canvas.environment import BASE_DIR

HERE = BASE_DIR / "clients" / "python"
PROJECT = tomllib.loads((HERE / "pyproject.toml").read_text())
UV = Path(sys.executable).with_name("uv")

# Reads from nowhere: what counts is that every module is imported, and which others are then there.
USE = """
import pkgutil, sys
from importlib import import_module
import trade_canvas_client
for module in pkgutil.iter_modules(trade_canvas_client.__path__):
    import_module(f"trade_canvas_client.{module.name}")
with trade_canvas_client.Client("http://127.0.0.1:9", retry=trade_canvas_client.Retry(1)) as client:
    try:
        client.candles("sim:futures:BTC/USDT:1m", newest=1)
    except trade_canvas_client.ConnectionFailed:
        print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""

FRAMES = """
from trade_canvas_client import Candles
from trade_canvas_client.columns import Columns
read = Candles("a:spot:B/C:1m", "g", 0, Columns())
print(len(read.to_pandas()), len(read.to_polars()), len(read.to_arrow()))
"""


def run(*command, **options):
    done = subprocess.run(
        [str(each) for each in command],
        capture_output=True,
        text=True,
        timeout=patience(60),
        **options,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of the wheel, made with uv alone."""
    folder = tmp_path_factory.mktemp("wheel")
    run(UV, "build", "--offline", "--wheel", "--out-dir", folder, HERE)
    return folder


def required(name, found):
    """Return a distribution and all that it needs, without extras."""
    if name in found:
        return found
    found.add(name)
    for text in distribution(name).requires or ():
        if "extra ==" not in text and "python_version <" not in text:
            required(re.split(r"[^\w.-]", text)[0].lower(), found)
    return found


def test_version_is_the_servers():
    assert PROJECT["project"]["version"] == trade_canvas_client.__version__ == __version__


def test_wheel_has_the_package_and_nothing_else(built):
    (wheel,) = built.glob("*.whl")
    assert wheel.name == f"trade_canvas_client-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        (licence,) = [name for name in names if name.endswith("LICENSE")]
        assert file.read(licence) == (BASE_DIR / "LICENSE").read_bytes()
        (metadata,) = [name for name in names if name.endswith("METADATA")]
        text = file.read(metadata).decode()
    modules = {
        f"trade_canvas_client/{path.name}" for path in (HERE / "trade_canvas_client").glob("*.*")
    }
    assert {name for name in names if "dist-info" not in name and name[-1] != "/"} == modules
    assert "trade_canvas_client/py.typed" in modules
    assert {"pandas", "polars", "arrow"} == set(re.findall(r"^Provides-Extra: (\w+)$", text, re.M))


def test_wheel_works_with_what_it_declares_alone(built, tmp_path):
    """In an environment of its own, with the declared packages of this one and no others."""
    (wheel,) = built.glob("*.whl")
    place = tmp_path / "environment"
    run(UV, "venv", "--offline", "--quiet", "--python", sys.executable, place)
    python = place / "bin" / "python"
    run(UV, "pip", "install", "--offline", "--quiet", "--no-deps", "--python", python, wheel)
    (packages,) = place.glob("lib/*/site-packages")
    for each in PROJECT["project"]["dependencies"]:
        for name in required(re.split(r"[^\w.-]", each)[0], set()):
            for file in distribution(name).files or ():
                top = file.parts[0]
                if top != ".." and not (packages / top).exists():
                    (packages / top).symlink_to(distribution(name).locate_file(top))
    loaded = run(python, "-I", "-c", USE, cwd=tmp_path).split()
    assert {"trade_canvas_client", "httpx", "websockets"} <= set(loaded)
    assert {"django", "market", "pandas", "polars", "numpy", "orjson"}.isdisjoint(loaded)


@pytest.mark.prove
def test_wheel_installs_from_the_index_with_its_extras(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    place = tmp_path / "environment"
    run(UV, "venv", "--quiet", "--python", sys.executable, place)
    python = place / "bin" / "python"
    run(UV, "pip", "install", "--quiet", "--python", python, f"{wheel}[pandas,polars,arrow]")
    use = (
        "from trade_canvas_client.columns import Columns; from trade_canvas_client import Candles;"
    )
    use += "read = Candles('a:spot:B/C:1m', 'g', 0, Columns());"
    use += "print(len(read.to_pandas()), len(read.to_polars()), len(read.to_arrow()))"
    assert run(python, "-I", "-c", use, cwd=tmp_path) == "0 0 0\n"
    assert "trade_canvas_client" in run(python, "-I", "-c", USE, cwd=tmp_path)
