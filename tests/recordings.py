"""Files that tests read: golden vectors of this repository, and recorded candles from outside."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from market.domain.candle import Candle

VECTORS = Path(__file__).parent / "vectors"
RECORDED = Path(__file__).resolve().parents[2] / "shared" / "data"


def vector_json(name: str) -> Any:
    """The content of a golden vector."""
    return json.loads((VECTORS / name).read_text())


def vector_candles(name: str) -> list[Candle]:
    """The candles of a golden vector, oldest first."""
    return read_candles(VECTORS / f"{name}.candles.csv")


def recorded(name: str) -> Path:
    """The file of a recorded market; skips the test on a checkout without any recording."""
    if not RECORDED.is_dir():
        pytest.skip("no recorded candles: put the folder shared/data beside the checkout")
    return RECORDED / f"{name}.csv.gz"


def recorded_candles(name: str) -> list[Candle]:
    """The candles of a recorded market, oldest first; skips the test like `recorded`."""
    return read_candles(recorded(name))


def read_candles(path: Path) -> list[Candle]:
    """Candles from a CSV file with a header, compressed or not."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    _, *rows = csv.reader(data.decode().splitlines())
    return [Candle(int(time), *map(float, values)) for time, *values in rows]
