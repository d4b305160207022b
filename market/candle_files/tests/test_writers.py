"""Files that are written have every bit of their candles, in every format."""

from __future__ import annotations

import gc
import gzip
import io
import struct
import tracemalloc

import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.candle_files import exported, writers
from market.candle_files.columns import COLUMNS, CSV_HEADER
from market.candle_files.exported import pages
from market.candle_files.names import series_of, stem_of
from market.candle_files.writers import SERIES_COLUMN, SERIES_KEY, Kind, writing
from market.domain.candle import Candle
from market.domain.series import SeriesId, SeriesIdError
from market.domain.timeframe import MAX_TIME
from market.pipeline import Pipeline
from market.stores.memory import MemoryCandleStore
from market.tests.builders import MINUTE, candles

OTHER = SeriesId.parse("sim:spot:ETH/USDT:USDT:1h")
ARROW_KINDS = [kind for kind in Kind if kind.needs_arrow]
# Zero with a sign, the least number, the greatest, and one that no short decimal is.
HARD = [-0.0, 5e-324, -5e-324, 1.7976931348623157e308, 0.1 + 0.2, 1e16, 1e-7, 123456789.123456789]
DOUBLES = st.one_of(st.sampled_from(HARD), st.floats(allow_nan=False, allow_infinity=False))
CANDLES = st.lists(
    st.builds(Candle, st.integers(0, MAX_TIME), DOUBLES, DOUBLES, DOUBLES, DOUBLES, DOUBLES),
    max_size=30,
)


def written(kind, *parts, with_column=False):
    """The bytes of a file: each part is a series with candles."""
    sink = io.BytesIO()
    series = list(dict.fromkeys(each for each, _ in parts)) or [MINUTE]
    with writing(kind, sink, series, with_column=with_column) as writer:
        for each, found in parts:
            writer.write(each, found)
    return sink.getvalue()


def table(kind, content):
    """A file read by pyarrow alone."""
    if kind is Kind.PARQUET:
        return pyarrow.parquet.read_table(io.BytesIO(content))
    if kind is Kind.FEATHER:
        return pyarrow.feather.read_table(io.BytesIO(content))
    return pyarrow.ipc.open_file(content).read_all()


def rows(kind, content):
    """The rows of a file as they were written."""
    if kind.needs_arrow:
        return list(
            zip(*(column.to_pylist() for column in table(kind, content).columns), strict=True)
        )
    text = (gzip.decompress(content) if kind is Kind.CSV_GZ else content).decode()
    lines = [line.split(",") for line in text.splitlines()[1:]]
    return [(int(time), *map(float, values)) for time, *values in lines]


def bits(found):
    """Rows in which two doubles are equal only if every bit is."""
    return [(time, *(struct.pack("<d", value) for value in values)) for time, *values in found]


@pytest.mark.parametrize("kind", Kind)
@given(found=CANDLES)
def test_every_bit_survives(kind, found):
    assert bits(rows(kind, written(kind, (MINUTE, found)))) == bits(found)


@pytest.mark.parametrize("kind", ARROW_KINDS)
def test_columns_have_names_types_and_the_series(kind):
    found = table(kind, written(kind, (MINUTE, candles(60))))
    assert found.schema.names == list(COLUMNS)
    assert [str(each.type) for each in found.schema] == ["int64"] + ["double"] * 5
    assert not any(each.nullable for each in found.schema)
    assert found.schema.metadata[SERIES_KEY] == str(MINUTE).encode()


@pytest.mark.parametrize("kind", Kind)
def test_file_without_candles_is_a_file(kind):
    assert rows(kind, written(kind)) == []


@pytest.mark.parametrize("kind", ARROW_KINDS)
def test_small_batches_become_large_ones(kind, monkeypatch):
    monkeypatch.setattr(writers, "BATCH_ROWS", 100)
    parts = [(MINUTE, candles(*range(at, at + 1800, 60))) for at in range(0, 18_000, 1800)]
    content = written(kind, *parts)
    assert [time for time, *_ in rows(kind, content)] == list(range(0, 18_000, 60))
    if kind is Kind.PARQUET:
        file = pyarrow.parquet.ParquetFile(io.BytesIO(content))
        sizes = [file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)]
    else:
        file = pyarrow.ipc.open_file(content)
        sizes = [file.get_batch(at).num_rows for at in range(file.num_record_batches)]
    assert sizes == [120, 120, 60]


@pytest.mark.parametrize("kind", Kind)
def test_several_series_have_a_column(kind):
    parts = ((MINUTE, candles(60, 120)), (OTHER, candles(3600)), (OTHER, candles(7200)))
    content = written(kind, *parts, with_column=True)
    if kind.needs_arrow:
        found = table(kind, content)
        assert found.schema.names == [SERIES_COLUMN, *COLUMNS]
        named = list(
            zip(*(found[name].to_pylist() for name in found.schema.names[:2]), strict=True)
        )
    else:
        text = (gzip.decompress(content) if kind is Kind.CSV_GZ else content).decode()
        header, *lines = text.splitlines()
        assert header == f"{SERIES_COLUMN},{CSV_HEADER}"
        named = [(line.split(",")[0], int(line.split(",")[1])) for line in lines]
    assert named == [
        (str(MINUTE), 60),
        (str(MINUTE), 120),
        (str(OTHER), 3600),
        (str(OTHER), 7200),
    ]


def test_a_comma_in_a_symbol_is_quoted():
    odd = SeriesId.parse('sim:spot:A,"B/USDT:1m')
    line = written(Kind.CSV, (odd, candles(60)), with_column=True).decode().splitlines()[1]
    assert line.startswith('"sim:spot:A,""B/USDT:1m",60,')


class Nowhere(io.RawIOBase):
    """Takes bytes and keeps none."""

    def writable(self):
        return True

    def write(self, content):
        return len(content)


@pytest.mark.parametrize("kind", Kind)
def test_memory_does_not_grow_with_the_file(kind, monkeypatch):
    monkeypatch.setattr(writers, "BATCH_ROWS", 1000)
    page = candles(*range(0, 60_000, 60))
    with writing(kind, Nowhere(), [MINUTE]) as writer:
        writer.write(MINUTE, page)
        tracemalloc.start()
        before = pa.total_allocated_bytes()
        for _ in range(50):
            writer.write(MINUTE, page)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        # Fifty pages take 2.4 MB.
        assert held + pa.total_allocated_bytes() - before < 400_000


@pytest.mark.parametrize("kind", Kind)
def test_file_that_is_given_up_has_no_end(kind):
    sink = io.BytesIO()
    with pytest.raises(KeyError), writing(kind, sink, [MINUTE]) as writer:
        writer.write(MINUTE, candles(60))
        size = len(sink.getvalue())
        raise KeyError
    del writer
    gc.collect()
    assert len(sink.getvalue()) == size


class Asked(MemoryCandleStore):
    """Notes how many seconds each read of a page spans."""

    def __init__(self):
        super().__init__()
        self.spans = []

    def read_range(self, series, start, end, *, limit):
        if limit > 1:
            self.spans.append(end - start + 1)
        return super().read_range(series, start, end, limit=limit)


@pytest.mark.parametrize(
    "times",
    [
        range(60, 60 * 500, 60),
        # Off the grid, a long hole, and one candle an hour.
        [*range(60, 3000, 7), *range(9_000_000, 9_001_000, 60)],
        range(0, 3600 * 500, 3600),
        [0],
        [],
    ],
)
def test_pages_have_every_candle_once_and_span_little_time(times):
    store = Asked()
    if times:
        Pipeline(store, []).ingest(MINUTE, candles(*times))
    found = list(pages(store, MINUTE, 0, MAX_TIME, size=10))
    assert [each.candle_time for page in found for each in page] == list(times)
    assert all(0 < len(page) <= 10 for page in found)
    assert max(store.spans) <= exported.MOST_SPANS * 600
    assert len(store.spans) <= len(times) / 5 + 60
    inside = [each for page in pages(store, MINUTE, 600, 1200, size=4) for each in page]
    assert [each.candle_time for each in inside] == [at for at in times if 600 <= at <= 1200]


NAMES = {
    "binance:futures:BTC/USDT:1m": "binance_futures_BTC-USDT_1m",
    "okx:futures:BTC/USDT:USDT:1d~16h": "okx_futures_BTC-USDT%3AUSDT_1d%7E16h",
    "sim:spot:1000PEPE_X-1/A.B:1h": "sim_spot_1000PEPE%5FX%2D1-A%2EB_1h",
    "mexc:spot:币安人生/USDT:1m": "mexc_spot_币安人生-USDT_1m",
    "sim:spot:A/B:1M": "sim_spot_A-B_1%4D",
    "sim:spot:A/B:1d~America/New_York": "sim_spot_A-B_1d%7EAmerica-New%5FYork",
    "..:spot:../../etc:1m": "%2E%2E_spot_%2E%2E-%2E%2E-etc_1m",
}


@pytest.mark.parametrize(("text", "name"), NAMES.items())
def test_name_of_a_file_is_its_series(text, name):
    series = SeriesId.parse(text)
    assert stem_of(series) == name
    assert series_of(name) == series


@pytest.mark.parametrize(
    "name", ["", "BTC_USDT-1m", "a_b_c_1x", "a_b_c_1m_", "a.b_c_d_1m", "a__c_1m"]
)
def test_other_names_are_no_series(name):
    assert series_of(name) is None


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_every_series_has_a_name_of_its_own(exchange, symbol):
    try:
        series = SeriesId.parse(f"{exchange}:spot:{symbol}:1m")
    except SeriesIdError:
        return
    name = stem_of(series)
    assert "/" not in name and not name.startswith(".")
    assert series_of(name) == series
