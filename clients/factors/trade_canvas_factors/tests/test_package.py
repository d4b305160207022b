"""The built package computes what the server computes, and needs nothing but Python."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.recordings import VECTORS, vector_json
from trade_canvas import __version__

HERE = Path(__file__).parents[2]
STAGING = runpy.run_path(str(HERE / "stage_factors.py"))

# Prints the keys of all events and the digest of the engine, computed by the installed package.
COMPUTE = """
import csv, json, sys
from trade_canvas_factors import Engine, svg
found = {}
for name, timeframe in (("p1", "1m"), ("p2", "5m")):
    with open(f"{sys.argv[1]}/{name}.candles.csv", newline="") as file:
        run = Engine(timeframe).run(csv.DictReader(file))
    assert "</svg>" in svg(run)
    found[name] = [[event.event_key, event.payload] for event in run.events]
found["fingerprint"] = Engine("1m").fingerprint
names = {name.partition(".")[0] for name in sys.modules}
found["foreign"] = sorted(names & {"django", "market", "factors", "overlays", "pandas", "polars"})
print(json.dumps(found))
"""

# A factor that is written for the server, with the server's names in its imports.
FACTOR = """
from factors.domain.graph import FactorSpec, Feature
from factors.domain.values import Event, Outcome, Slice

def step(state, candle, upstream):
    key = str(candle.candle_time)
    return Outcome([Event("own", "own.seen", candle.candle_time, key, {"close": candle.close})])

SPEC = FactorSpec(
    name="own", version=1, label="Own", features=(Feature("own.seen", "Seen"),),
    initial=lambda setup: None, step=step, freeze=lambda state: None,
    thaw=lambda data, setup, past: None, read=lambda history, head: Slice({}, {}),
)
"""

# Computes with the factor of another package, which knows the server's names only.
FOREIGN = """
import csv, sys
from trade_canvas_factors import Engine, svg
instances = {"ema_50": {"factor": "ema", "parameters": {"length": 50}}}
engine = Engine.installed("1m", foreign="ema", instances=instances)
with open(f"{sys.argv[1]}/p1.candles.csv", newline="") as file:
    run = engine.run(csv.DictReader(file))
found = {event.factor for event in run.events}
drawn = {drawing.kind for drawing in run.drawings() if drawing.feature == "ema_50.line"}
print(sorted(found - {"anchor", "pen", "pivot", "sr", "zhongshu"}), drawn)
"""
FOREIGN_PACKAGES = Path(__file__).parents[4] / "tests" / "foreign_example"


def check_computed(output):
    found = json.loads(output)
    for name in ("p1", "p2"):
        recorded = vector_json(f"{name}.events.json")["events"]
        assert found[name] == [[each["event_key"], each["payload"]] for each in recorded]
    assert found["foreign"] == []
    assert found["fingerprint"] == vector_json("fingerprint.json")


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    """The folder of the package as it is built, on no path."""
    target = tmp_path_factory.mktemp("staged")
    STAGING["stage"](target)
    return target


def alone(staged, *arguments, **options):
    """Run Python without any installed package, with the staged one."""
    environment = {"PYTHONPATH": str(staged), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-S", *map(str, arguments)]
    options = {"capture_output": True, "text": True, "cwd": staged, "timeout": 100} | options
    return subprocess.run(command, env=environment, **options)


def test_staged_package_gives_the_recorded_events_with_nothing_installed(staged):
    result = alone(staged, "-c", COMPUTE, VECTORS)
    assert result.returncode == 0, result.stderr
    check_computed(result.stdout)


def test_staged_package_has_no_tests_and_no_name_of_the_server(staged):
    assert [path.name for path in staged.iterdir()] == ["trade_canvas_factors"]
    assert not list(staged.rglob("test*"))
    assert (staged / "trade_canvas_factors" / "py.typed").exists()


def test_factor_with_the_server_s_names_is_checked_offline(staged, tmp_path):
    (tmp_path / "own_factor.py").write_text(FACTOR)
    command = ["-m", "trade_canvas_factors.lookahead", "own_factor:SPEC", "--every", "50"]
    result = alone(staged, *command, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "own_factor:SPEC: no look-ahead: 1500 values" in result.stdout


def test_factor_of_another_package_and_its_instance_are_computed_offline(staged):
    code = f"import sys; sys.path.append({str(FOREIGN_PACKAGES)!r}); {FOREIGN.strip()}"
    result = alone(staged, "-c", code, VECTORS)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "['ema', 'ema_50'] {'line'}\n"


def test_name_of_the_server_that_another_package_has_is_not_taken(staged, tmp_path):
    (tmp_path / "market.py").touch()
    code = "from trade_canvas_factors.server_names import use_server_names; use_server_names()"
    result = alone(staged, "-c", f"import sys; sys.path.append({str(tmp_path)!r}); {code}")
    assert "ImportError: market is the name of another package" in result.stderr


@pytest.mark.parametrize(
    "line",
    [
        "from market.pipeline import Pipeline",
        "from factors.stage import FactorStage",
        "import factors.domain.graph",
        "    from overlays import reads",
    ],
)
def test_import_from_outside_the_domain_folders_stops_the_build(line):
    with pytest.raises(STAGING["StageError"], match=line.strip().partition(" import ")[0]):
        STAGING["rewritten"](f"import json\n{line}\n", "a.py")


def test_imports_are_rewritten_and_nothing_else():
    code = (
        "from market.domain.candle import Candle\nfrom marketing import x\n# from market.domain\n"
    )
    inside = "from trade_canvas_factors.computation.market.domain.candle import Candle\n"
    assert STAGING["rewritten"](code, "a.py") == code.replace(code.splitlines(True)[0], inside)


def test_package_has_the_server_s_version_and_licence():
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__
    assert project["dependencies"] == []
    licence = (HERE.parents[1] / "LICENSE").read_text()
    assert (HERE / "LICENSE").read_text() == licence


@pytest.mark.prove
@pytest.mark.parametrize("form", ["wheel", "wheel of the sdist", "editable"])
def test_installed_package_gives_the_recorded_events(tmp_path, form):
    """Needs the package index for the build backend."""
    uv = [Path(sys.executable).parent / "uv"]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*command):
        subprocess.run(list(map(str, command)), check=True, cwd=tmp_path, env=clean, timeout=300)

    run(*uv, "venv", "--python", sys.executable, "clean")
    python = tmp_path / "clean" / "bin" / "python"
    source = [str(HERE)]
    if form == "editable":
        source = ["--editable", *source]
    else:
        # Without a choice uv builds the sdist, and the wheel from that.
        only = ["--wheel"] if form == "wheel" else []
        run(*uv, "build", *only, "--out-dir", tmp_path / "dist", HERE)
        (built,) = (tmp_path / "dist").glob("*.whl")
        source = [str(built)]
    run(*uv, "pip", "install", "--python", python, *source)
    result = subprocess.run(
        [python, "-c", COMPUTE, VECTORS], capture_output=True, text=True, cwd=tmp_path, env=clean
    )
    assert result.returncode == 0, result.stderr
    if form == "editable":
        # It is the checkout's own code, under its own names.
        assert json.loads(result.stdout)["foreign"] == ["factors", "market", "overlays"]
        result.stdout = json.dumps({**json.loads(result.stdout), "foreign": []})
    check_computed(result.stdout)
