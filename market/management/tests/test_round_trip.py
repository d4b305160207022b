"""Candles that are exported and imported again are the same to the last bit, in every format."""

from __future__ import annotations

import io
import itertools
import struct

import pytest
from django.core.management import call_command
from django.db import connection
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from market import runtime
from market.candle_files.writers import Kind, writing
from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.tests.builders import candles
from tests.examples import examples

# Zero with a sign, the least number and the greatest, and what no short decimal is.
HARD = [-0.0, 5e-324, 1e-308, 1.7976931348623157e308, 0.1 + 0.2, 1e16, 1e-7, 1 / 3]
PRICES = st.one_of(st.sampled_from(HARD), st.floats(allow_nan=False, allow_infinity=False))
VOLUMES = st.one_of(st.sampled_from(HARD), st.floats(0.0, allow_infinity=False))
names = itertools.count()


@st.composite
def possible(draw):
    """Ascending candles on the grid; of the prices the least is low, the greatest high."""
    found = []
    for minute in sorted(draw(st.sets(st.integers(0, 28_000_000), min_size=1, max_size=12))):
        low, one, other, high = sorted(draw(st.lists(PRICES, min_size=4, max_size=4)))
        if low == high == 0:
            low, high = -1.0, 1.0
        prices = (one, high, low, other) if draw(st.booleans()) else (other, high, low, one)
        found.append(Candle(minute * 60, *prices, draw(VOLUMES)))
    return found


def bits(candles):
    """Candles that are equal only if every bit is."""
    return [struct.pack("<q5d", *each) for each in candles]


@pytest.mark.parametrize("kind", Kind)
@examples(0.15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=possible())
def test_every_bit_survives_export_and_import(empty_store, tmp_path, kind, found):
    source, copy = (SeriesId.parse(f"sim:spot:N{next(names)}/USDT:1m") for _ in "ab")
    runtime.pipeline().ingest(source, found)
    stored = empty_store.read_after(source, -1, 100)
    path = tmp_path / f"out.{kind}"
    call_command("export_candles", str(source), "--output", str(path), stderr=io.StringIO())
    options = ["--allow-coarser", "--no-progress"]
    call_command("import_candles", str(path), str(copy), *options, stdout=io.StringIO())
    again = empty_store.read_after(copy, -1, 100)
    assert bits(again) == bits(stored)
    assert again == found


@pytest.mark.parametrize("kind", Kind)
def test_folder_and_file_with_several_series_are_imported_as_they_are(empty_store, tmp_path, kind):
    texts = ("sim:spot:A-B_C/USDT:1m", "sim:futures:A/USD:A:5m")
    parts = {SeriesId.parse(text): candles(0, 300, 600, 900) for text in texts}
    for series, found in parts.items():
        runtime.pipeline().ingest(series, found)
    folder = tmp_path / "folder"
    call_command(
        "export_candles", exchange=["sim"], folder=folder, format=kind.value, stderr=io.StringIO()
    )
    file = tmp_path / f"several.{kind}"
    with file.open("wb") as sink, writing(kind, sink, list(parts), with_column=True) as writer:
        for series, found in parts.items():
            writer.write(series, found)
    options = ["--allow-coarser", "--no-progress"]
    for source in (folder, file):
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE candles, series, revisions, derived_series CASCADE")
        call_command("import_candles", str(source), *options, stdout=io.StringIO())
        for series, found in parts.items():
            assert empty_store.read_after(series, -1, 100) == found
