"""The picture of a run comes from its draw instructions."""

from __future__ import annotations

from collections import Counter
from xml.etree import ElementTree

import pytest

from factors.domain.all_factors import FACTORS
from overlays.domain.all_renderers import RENDERERS
from overlays.tests import sample
from tests.recordings import vector_candles
from trade_canvas_factors import Engine, svg

SMALL = {"pivot": {"window_major": 5, "window_minor": 2}}
CANDLES = vector_candles("p1")[:600]


@pytest.fixture(scope="module")
def run():
    return Engine("1m", parameters=SMALL).run(CANDLES)


def elements(picture):
    return list(ElementTree.fromstring(picture).iter())


def drawn(picture):
    """How many elements each feature has."""
    features = (each.get("data-feature") for each in elements(picture))
    return Counter(feature for feature in features if feature)


def test_picture_has_every_candle_and_what_the_page_shows_at_first(run):
    picture = svg(run, candles=600, title="BTC & USDT")
    assert sum(each.get("class") == "wick" for each in elements(picture)) == 600
    hidden = {
        feature.key for spec in FACTORS for feature in spec.features if not feature.default_visible
    }
    found = drawn(picture)
    assert {"pivot.major", "pen.confirmed", "zhongshu.dead", "sr.active"} <= set(found)
    assert not hidden & set(found)
    marks = sum(each.feature == "pivot.major" for each in run.drawings())
    assert found["pivot.major"] == marks > 5
    assert elements(picture)[1].text == "BTC & USDT"


def test_features_are_chosen(run):
    assert set(drawn(svg(run, features=["pen.confirmed"]))) == {"pen.confirmed"}
    assert set(drawn(svg(run, features=[]))) == set()


def test_line_goes_through_the_prices_of_its_instruction(run):
    (drawing,) = (each for each in run.drawings() if each.feature == "pen.confirmed")
    picture = svg(run, candles=600, features=["pen.confirmed"])
    (element,) = (each for each in elements(picture) if each.get("data-feature"))
    corners = [tuple(map(float, each.split(","))) for each in element.get("points").split()]
    prices = [point["value"] for point in drawing.definition["points"]]
    assert len(corners) == len(prices)
    order = sorted(range(len(prices)), key=lambda place: prices[place])
    heights = [corners[place][1] for place in order]
    assert heights == sorted(heights, reverse=True)


def test_line_in_the_colour_of_the_text_is_dark_on_a_light_ground(run):
    def stroke(theme):
        picture = svg(run, features=["pen.confirmed"], theme=theme)
        return next(each for each in elements(picture) if each.get("data-feature")).get("stroke")

    assert (stroke("dark"), stroke("light")) == ("#e2e8f0", "#1e293b")


def test_box_label_and_line_are_drawn():
    factors, renderers = [*FACTORS, sample.FACTOR], [*RENDERERS, sample.RENDERER]
    run = Engine("1m", parameters=SMALL, factors=factors, renderers=renderers).run(CANDLES)
    kinds = {each.kind: each.feature for each in run.drawings()}
    assert {"box", "label", "line"} <= set(kinds)
    found = drawn(svg(run, candles=600, features=[kinds["box"], kinds["label"], kinds["line"]]))
    assert {kinds["box"], kinds["label"], kinds["line"]} == set(found)
    growing = [each for each in run.drawings() if each.kind == "line"]
    assert found[kinds["line"]] == sum(each.feature == kinds["line"] for each in growing)
    assert all(each.points for each in growing)


def test_notebook_shows_the_picture_by_itself(run):
    picture = svg(run)
    assert picture._repr_svg_() == picture
    assert picture.startswith("<svg")


@pytest.mark.parametrize(
    ("options", "message"), [({"theme": "blue"}, "the themes are dark, light")]
)
def test_wrong_options_are_refused(run, options, message):
    with pytest.raises(ValueError, match=message):
        svg(run, **options)


def test_run_without_candles_has_no_picture():
    with pytest.raises(ValueError, match="without candles"):
        svg(Engine("1m").start())
