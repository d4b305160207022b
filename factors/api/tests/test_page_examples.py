"""The Python examples of docs/factor-events.md, run as they stand against a server."""

from __future__ import annotations

import re

import pytest
from django.conf import settings
from django.core.management import call_command

from factors.api.tests.test_events import WAVES
from market.domain.series import SeriesId
from market.runtime import pipeline

PAGE = settings.BASE_DIR / "docs" / "factor-events.md"
SERIES = "sim:futures:BTC/USDT:1m"


@pytest.fixture
def examples(live_server, fresh_process, monkeypatch, tmp_path):
    """Run each example; the names that it leaves, by the name that it defines last."""
    monkeypatch.chdir(tmp_path)
    pipeline().ingest(SeriesId.parse(SERIES), WAVES)
    call_command("export_events", SERIES, "--output", "events.parquet", verbosity=0)
    found = []
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.S):
        names: dict[str, object] = {}
        exec(block.replace("http://localhost:8000", live_server.url), names)  # noqa: S102
        found.append(names)
    return found


def test_examples_of_the_page_run(examples):
    over_http, from_file, columns = examples
    assert len(over_http["pens"]) == len(from_file["pens"]) > 1
    assert list(over_http["pens"]["payload.start_time"]) == list(from_file["pens"]["start_time"])
    features = columns["features"]
    assert len(features) == len(WAVES)
    assert list(features.columns) == columns["COLUMNS"]
    assert features["pen_confirmed_count"].sum() == len(from_file["pens"])
    assert str(features["pen_confirmed_count"].dtype) == "float64"
