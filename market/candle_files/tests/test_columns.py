"""The columns of our own files, and pyarrow as an optional extra."""

from __future__ import annotations

import sys

import pytest

from market.candle_files.arrow import ArrowMissing, has_arrow, pyarrow
from market.candle_files.columns import COLUMNS, CSV_HEADER, arrow_schema


def test_schema_has_the_columns_of_csv_in_their_order():
    assert arrow_schema().names == list(COLUMNS) == CSV_HEADER.split(",")
    assert [str(field.type) for field in arrow_schema()] == ["int64"] + ["double"] * 5


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert not has_arrow()
    with pytest.raises(ArrowMissing, match=r"^arrow_not_installed: .*requirements-arrow.lock"):
        pyarrow()
