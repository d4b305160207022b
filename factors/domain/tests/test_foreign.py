"""Entry points of other packages: what is loaded, and what is refused with which line."""

from __future__ import annotations

import itertools

import pytest

from factors.domain.all_factors import FACTORS
from factors.domain.engine import Engine
from factors.domain.foreign import FactorsRefused
from factors.domain.registered import registered

NUMBERS = itertools.count()
FACTOR = """
from factors.domain.graph import FactorSpec, Feature
SPEC = FactorSpec(
    name="{name}", version=1, label="Mine", features=({features}), depends_on=({needs}),
    initial=lambda setup: None, step=lambda state, candle, upstream: None,
    freeze=lambda state: None, thaw=lambda data, setup, past: None,
    read=lambda history, head: None,
)
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a package with a module, as pip does: with metadata beside it."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(text, *, entry="mine", target="SPEC", package="mine-package", version="1.0"):
        module = f"foreign_module_{next(NUMBERS)}"
        (tmp_path / f"{module}.py").write_text(text)
        folder = tmp_path / f"{package.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        lines = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
        (folder / "METADATA").write_text(lines)
        points = f"[trade_canvas.factors]\n{entry} = {module}:{target}\n"
        (folder / "entry_points.txt").write_text(points)

    return install


def spec(name="mine", features="", needs=""):
    return FACTOR.format(name=name, features=features, needs=needs)


def refusal(foreign="*", instances=""):
    with pytest.raises(FactorsRefused) as refused:
        registered(foreign=foreign, instances=instances)
    (line,) = str(refused.value).splitlines()
    return line


def names(known):
    return {each.name for each in known.factors}


def test_without_the_setting_nothing_of_another_package_is_imported(install):
    install("raise RuntimeError('imported')")
    assert names(registered()) == {each.name for each in FACTORS}
    assert names(registered(foreign=" , ")) == {each.name for each in FACTORS}


def test_allowed_factor_is_loaded_with_its_package(install):
    install(spec())
    install("raise RuntimeError('imported')", entry="other", package="other")
    known = registered(foreign="mine")
    assert known.foreign == {"mine"}
    (mine,) = [each for each in known.factors if each.name == "mine"]
    assert mine.package == "mine-package 1.0"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
        ("SPEC = 3", "SPEC is no FactorSpec"),
        ("OTHER = 3", "AttributeError: module"),
        (spec("else_where"), "is named else_where"),
        (spec(needs='"gone",'), "it depends on gone, which is not loaded"),
        (spec(features='Feature("pen.mine", "A"),'), "pen.mine is not mine, a dot and a word"),
        (spec(features='Feature("mine.a:b", "A"),'), "mine.a:b is not mine, a dot and"),
    ],
)
def test_broken_factor_is_refused_with_name_package_and_reason(install, text, reason):
    install(text)
    line = refusal()
    assert line.startswith("foreign_factor_refused: mine of mine-package 1.0: ")
    assert reason in line


def test_name_of_an_own_factor_is_refused_without_an_import(install):
    install("raise RuntimeError('imported')", entry="pen")
    assert "pen of mine-package 1.0" in refusal()
    assert refusal().endswith("there is a factor of this name already")


def test_two_packages_with_one_name_are_refused(install):
    install(spec())
    install(spec(), package="other-package", version="2.0")
    assert "mine of other-package 2.0" in refusal()
    assert "mine-package 1.0 has a factor of this name, too" in refusal()


@pytest.mark.parametrize("name", ["A", "a-b", "a.b", "1a"])
def test_name_that_could_be_mistaken_is_refused(install, name):
    install(spec(name), entry=name)
    assert "is not lower case letters" in refusal()


def test_name_without_a_package_is_refused():
    assert refusal("nowhere").startswith("foreign_factor_refused: nowhere: no installed package")


def test_factors_in_a_circle_are_refused(install):
    install(spec(needs='"other",'))
    install(spec("other", needs='"mine",'), entry="other", package="other")
    assert refusal() == "factors_refused: cycle:mine->other->mine"


def test_fingerprint_contains_the_version_of_the_package(install, tmp_path):
    install(spec())
    first = Engine(registered(foreign="mine").factors).fingerprint
    assert first != Engine(FACTORS).fingerprint
    folder = tmp_path / "mine_package-1.0.dist-info"
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: mine-package\nVersion: 1.1\n")
    assert Engine(registered(foreign="mine").factors).fingerprint != first


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("{", "factor_instance_refused: the setting is no JSON: "),
        ("[]", "factor_instance_refused: the setting is no JSON object"),
        ('{"a": 1}', "factor_instance_refused: a: its value is no JSON object"),
        ('{"a": {"of": "pen"}}', "factor_instance_refused: a: there is no field of; there are"),
        ('{"a": {"factor": "gone"}}', "factor_instance_refused: a: there is no factor gone"),
        ('{"A": {"factor": "pen"}}', "factor_instance_refused: A: a name is lower case"),
        ('{"sr": {"factor": "pen"}}', "factor_instance_refused: sr: there is a factor of this"),
        ('{"a": {"factor": "pivot", "parameters": 3}}', "a: parameters is of another kind"),
        ('{"a": {"factor": "pivot", "parameters": {"x": 3}}}', "a: there is no parameter x"),
        (
            '{"a": {"factor": "pivot", "parameters": {"window_major": 0}}}',
            "a: pivot windows must be at least 1",
        ),
        ('{"a": {"factor": "pen", "parameters": {"x": 1}}}', "a: this factor has no parameters"),
        ('{"a": {"factor": "pen", "uses": {"sr": "a"}}}', "a: pen does not depend on sr"),
        ('{"pen": {"uses": {"pivot": "sr"}}}', "pen: only an instance of another name can use"),
        ('{"a": {"factor": "pen", "uses": {"pivot": "gone"}}}', "missing_deps:['a->gone']"),
        ('{"a": {"factor": "pivot"}, "b": {"factor": "a"}}', "b: there is no factor a to make"),
    ],
)
def test_instance_that_can_not_be_made_is_refused_with_its_reason(setting, reason):
    assert reason in refusal("", setting)
