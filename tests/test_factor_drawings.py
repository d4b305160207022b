"""The drawings of docs/factors.md are what the engines return today, and the page names no other
defaults."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree

import pytest

from factors.domain.all_factors import FACTORS
from lab.pictures.draw_factors import DRAWINGS, charts
from overlays.domain.all_renderers import RENDERERS
from trade_canvas.switches import PREFIX, Switches

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "images" / "factors"
PAGE = (ROOT / "docs" / "factors.md").read_text()
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))
DRAWN = [draw.__name__ for draw in DRAWINGS]


def page_of(name):
    """What docs say of a factor: a section of the page of all, or a page of its own."""
    own = ROOT / "docs" / "factors" / f"{name}.md"
    return own.read_text() if own.exists() else SECTIONS[name]


@pytest.fixture(scope="module")
def drawings():
    return dict(charts())


@pytest.mark.parametrize("name", DRAWN)
def test_drawing_is_what_the_engines_say(drawings, name):
    stored = (FOLDER / f"{name}.svg").read_text()
    assert stored == drawings[f"{name}.svg"], "run python -m lab.pictures.draw_factors"
    assert ElementTree.fromstring(stored).tag.endswith("svg")


@pytest.mark.parametrize("name", DRAWN)
def test_page_shows_the_drawing(name):
    assert f"images/factors/{name}.svg)" in page_of(name)


@pytest.mark.parametrize("spec", FACTORS, ids=lambda spec: spec.name)
def test_page_names_the_features_of_every_factor(spec):
    (renderer,) = [each for each in RENDERERS if each.factor == spec.name]
    for feature in renderer.features:
        assert f"`{feature}`" in page_of(spec.name)


@pytest.mark.parametrize("spec", FACTORS, ids=lambda spec: spec.name)
def test_page_tells_parameters_with_their_defaults_and_switches(spec):
    rows = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", page_of(spec.name), re.M))
    declared = {} if spec.parameters is None else asdict(spec.parameters)
    assert rows == {name: str(value) for name, value in declared.items()}


def test_page_names_switches_that_exist():
    named = set(re.findall(rf"{PREFIX}(\w+)", PAGE))
    assert named
    assert named <= {name.upper() for name in Switches.__slots__}
