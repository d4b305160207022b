"""A series id as a key: equal ids have one hash, in each process its own."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import replace

from market.domain.series import SeriesId

TEXT = "binance:futures:BTC/USDT:1m"


def test_equal_ids_are_one_key():
    series = SeriesId.parse(TEXT)
    again = replace(series)
    assert again is not series and {series: 1}[again] == 1 and str(again) == TEXT


def test_id_of_another_process_is_the_same_key():
    # There texts have other hashes.
    program = (
        "import pickle, sys; from market.domain.series import SeriesId;"
        f"sys.stdout.buffer.write(pickle.dumps({{SeriesId.parse({TEXT!r}): 1}}))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    given = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, check=True
    )
    assert pickle.loads(given.stdout)[SeriesId.parse(TEXT)] == 1
