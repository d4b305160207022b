"""Factors of another package and instances of factors, on the real stack: installed, not imported.

`tests/foreign_example` is a folder as pip fills it: a package and its metadata.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from django.conf import settings

from lab.http import get, post
from lab.waiting import patience
from trade_canvas.celery import refuse_to_work
from trade_canvas.environment import BASE_DIR

EXAMPLE = Path(__file__).parent / "foreign_example"
SERIES = "sim:spot:EMA/USDT:1m"
START = 1_700_000_040 // 60 * 60
COUNT = 60
INSTANCES = {
    "ema": {"parameters": {"length": 10}, "label": "EMA 10"},
    "ema_50": {"factor": "ema", "parameters": {"length": 50}},
}
MEMORY = {"TRADE_CANVAS_ENABLE_PG_STORE": "0", "TRADE_CANVAS_ENABLE_WS_PUBSUB": "0"}
SHARED = {"TRADE_CANVAS_ENABLE_PG_STORE": "1", "TRADE_CANVAS_ENABLE_WS_PUBSUB": "1"}


def closes():
    return [100.0 + abs(each % 20 - 10) for each in range(COUNT)]


def averages(length):
    """The definition of docs, computed on its own."""
    made, weight = [], 2 / (length + 1)
    for close in closes():
        made.append(close if not made else made[-1] + weight * (close - made[-1]))
    return made


def environment(**more):
    paths = [str(EXAMPLE), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "PYTHONPATH": os.pathsep.join(paths),
        "TRADE_CANVAS_FOREIGN_FACTORS": "ema",
        "TRADE_CANVAS_FACTOR_INSTANCES": json.dumps(INSTANCES),
        **more,
    }


@pytest.fixture(scope="module", params=[MEMORY, SHARED], ids=["memory", "postgres"])
def url(request, shared_stack):
    """The address of a web process with the example installed, and candles ingested."""
    web = shared_stack.web(**environment(**request.param))
    rows = [
        {
            "candle_time": START + 60 * number,
            **dict.fromkeys(("open", "high", "low", "close"), close),
            "volume": 1.0,
        }
        for number, close in enumerate(closes())
    ]
    body = {"series_id": SERIES, "candles": rows, "publish_ws": True}
    answer = post(f"{web.url}/api/dev/market/ingest/candles_closed_batch", body, patience(30))
    assert answer[0] == 200, answer
    return web.url


def read(url, path, **query):
    parts = "&".join(f"{name}={value}" for name, value in {"series_id": SERIES, **query}.items())
    status, body = get(f"{url}/api/{path}?{parts}")
    assert status == 200, body
    return body


def test_catalog_has_the_factor_its_instance_and_where_they_come_from(url):
    catalog = read(url, "factor/catalog")
    factors = {each["key"]: each for each in catalog["factors"]}
    assert (factors["ema"]["label"], factors["ema_50"]["label"]) == ("EMA 10", "EMA 50")
    keys = [each["key"] for each in factors["ema_50"]["sub_features"]]
    assert keys == ["ema_50.line", "ema_50.cross"]
    more = catalog["features"]
    assert more["ema"]["package"] == more["ema_50"]["package"] == "trade-canvas-ema 1.0.0"
    assert more["ema_50"]["instance_of"] == "ema"
    assert more["ema_50"]["translations"]["zh-CN"]["label"] == "指数均线 50"
    assert "package" not in more["pivot"]


def test_slices_have_both_under_their_own_names(url):
    head = START + 60 * (COUNT - 1)
    shown = read(url, "factor/slices", at_time=head)["snapshots"]
    for name, length in (("ema", 10), ("ema_50", 50)):
        assert shown[name]["head"] == {"average": averages(length)[-1]}
        assert shown[name]["meta"]["factor_name"] == name
        assert shown[name]["history"]["crosses"]
    assert shown["ema"]["history"] != shown["ema_50"]["history"]


def test_events_are_listed_by_the_kind_of_each(url):
    listed = [read(url, "factor/events", kinds=f"{name}.cross") for name in ("ema", "ema_50")]
    names = [{each["factor"] for each in answer["events"]} for answer in listed]
    assert names == [{"ema"}, {"ema_50"}]


def test_drawings_have_a_line_for_each(url):
    delta = read(url, "draw/delta")
    drawn = {each["instruction_id"]: each for each in delta["instruction_catalog_patch"]}
    for name, length in (("ema", 10), ("ema_50", 50)):
        assert drawn[f"{name}.line"]["definition"]["feature"] == f"{name}.line"
        points = dict(map(tuple, delta["series_points"][f"{name}.line"]))
        expected = averages(length)
        # Without a point where the average did not move.
        assert points.items() <= {START + 60 * n: v for n, v in enumerate(expected)}.items()
        assert len(points) > COUNT - 5
        assert any(each.startswith(f"{name}.cross:") for each in drawn)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"TRADE_CANVAS_FOREIGN_FACTORS": "ema,gone"}, "foreign_factor_refused: gone: no inst"),
        ({"TRADE_CANVAS_FACTOR_INSTANCES": '{"pen": {"factor": "ema"}}'}, "factor_instance_ref"),
    ],
)
def test_web_process_refuses_to_start_with_one_line(changed, reason):
    given = {**os.environ, **environment(**MEMORY), **changed}
    command = [sys.executable, "manage.py", "web", "--port", "0"]
    done = subprocess.run(
        command, cwd=BASE_DIR, env=given, capture_output=True, text=True, timeout=patience(60)
    )
    assert done.returncode == 1
    assert [line.startswith(reason) for line in done.stderr.splitlines()] == [True], done.stderr


def test_worker_refuses_to_start_with_one_line(monkeypatch, capfd):
    for name in ("reach_services", "_identify", "identity.keep"):
        monkeypatch.setattr(f"trade_canvas.celery.{name}", lambda: None)
    given = replace(settings.SWITCHES, foreign_factors="gone")
    monkeypatch.setattr(settings, "SWITCHES", given)
    with pytest.raises(SystemExit):
        refuse_to_work()
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("foreign_factor_refused: gone: no installed package")
