"""Candles survive the encoder and the Python client's decoder bit by bit."""

from __future__ import annotations

import base64
import struct
import sys
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.domain.candle import Candle
from market.domain.history_format import AS_DOUBLES, HEADER, encode
from tests.recordings import vector_json
from trade_canvas_client import history
from trade_canvas_client.history import decode, decode_columns

finite = st.floats(allow_nan=False, allow_infinity=False)
# Prices of a market: whole ticks, with an odd value among them.
ticks = st.integers(-50, 50_000).map(lambda units: units / 100)
values = st.one_of(ticks, ticks, ticks, finite)
times = st.lists(st.integers(0, 253_402_300_799), min_size=1, max_size=12, unique=True).map(sorted)


@pytest.fixture(autouse=True, params=["numpy", "lists"])
def decoder(request):
    """Each test decodes with numpy, and as if it were not installed."""
    history.numpy.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "lists":
            patch.setitem(sys.modules, "numpy", None)
        # Its answer is kept.
        assert (history.numpy() is None) == (request.param == "lists")
    yield
    history.numpy.cache_clear()


@st.composite
def any_candles(draw, numbers):
    return [Candle(time, *(draw(numbers) for _ in range(5))) for time in draw(times)]


def bits(rows):
    return [(time, *struct.unpack("<5Q", struct.pack("<5d", *rest))) for time, *rest in rows]


def minutes(count, **changes):
    return [
        Candle(60 * n, 100.1 + n / 100, 101.25 + n / 100, 99.5, 100.0 + n / 100, 3.5)._replace(
            **changes
        )
        for n in range(count)
    ]


@pytest.mark.parametrize("numbers", [ticks, values, finite], ids=["ticks", "mixed", "any"])
def test_every_double_survives(numbers):
    @given(any_candles(numbers))
    def survives(candles):
        assert bits(decode(encode(candles))) == bits(candles)

    survives()


def test_no_candles_are_a_header():
    assert len(encode([])) == HEADER.size
    assert decode(encode([])) == []


@pytest.mark.parametrize(
    "odd", [-0.0, 5e-324, 1.7976931348623157e308, -1e300, 1 / 3, 2.0**52 + 0.5]
)
@pytest.mark.parametrize("field", Candle._fields[1:])
def test_an_odd_value_is_an_exception_beside_whole_numbers(odd, field):
    candles = minutes(200)
    candles[77] = candles[77]._replace(**{field: odd})
    chunk = encode(candles)
    assert bits(decode(chunk)) == bits(candles)
    assert len(zlib.compress(chunk)) < 200 * 8


@pytest.mark.parametrize("vector", vector_json("history.json"), ids=lambda each: each["name"])
def test_chunks_of_the_vectors_are_written_and_read(vector):
    chunk = base64.b64decode(vector["chunk"])
    candles = [Candle(*row) for row in vector["candles"]]
    assert encode(candles) == chunk
    assert bits(decode(chunk)) == bits(candles)
    times, columns = decode_columns(chunk)
    assert bits(zip(times, *columns, strict=True)) == bits(candles)


def test_values_off_every_grid_are_doubles():
    candles = [candle._replace(volume=(n + 1) / 7) for n, candle in enumerate(minutes(50))]
    _, _, _, _, price_decimals, volume_decimals, *_ = HEADER.unpack_from(encode(candles))
    assert (price_decimals, volume_decimals) == (2, AS_DOUBLES)


def test_whole_minutes_have_no_column_of_times():
    assert HEADER.unpack_from(encode(minutes(50)))[6] == 0
    assert HEADER.unpack_from(encode(minutes(50)[:20] + minutes(50)[21:]))[6] == 1


def test_what_is_no_whole_chunk_is_refused():
    chunk = encode(minutes(20))
    wide = HEADER.pack(b"TCH1", 1, 0, 0, 0, 0, 9, *[0] * 6) + bytes(9)
    misplaced = HEADER.pack(b"TCH1", 1, *[0] * 10, 1) + struct.pack("<Id", 5, 1.0)
    for wrong in (b"", chunk[:-1], chunk + b"\0", chunk[:10], b"TCH2" + chunk[4:], wide, misplaced):
        with pytest.raises(ValueError, match="not a chunk"):
            decode(wrong)
