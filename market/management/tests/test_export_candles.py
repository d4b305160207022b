"""export_candles: formats, many series, and files that are brought up."""

from __future__ import annotations

import gzip
import io
import math
import os
import random
import sys

import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from market import runtime
from market.candle_files import exported
from market.candle_files.columns import CSV_HEADER
from market.candle_files.exported import note_path
from market.candle_files.writers import Kind
from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.files import try_lock
from market.stores.postgres import stored_series
from market.stores.tests.planting import plant, unprotected
from market.tests.builders import MINUTE, candle, candles

SERIES = str(MINUTE)
OTHERS = [SeriesId.parse(f"binance:futures:{base}/USDT:1m") for base in ("ETH", "XRP")]
HOURS = SeriesId.parse("okx:spot:BTC/USDT:USDT:1h")


@pytest.fixture
def export(empty_store):
    """Run the command; what it reports."""

    def command(*arguments):
        report = io.StringIO()
        call_command("export_candles", *map(str, arguments), stdout=io.StringIO(), stderr=report)
        return report.getvalue()

    return command


def store(found, series=MINUTE):
    runtime.pipeline().ingest(series, found)


def rows(path):
    """The candles of a file, read without our own code."""
    kind = Kind(path.name.partition(".")[2])
    if kind.needs_arrow:
        read = pyarrow.parquet.read_table if kind is Kind.PARQUET else pyarrow.feather.read_table
        columns = [column.to_pylist() for column in read(path).columns]
        return [Candle._make(row) for row in zip(*columns, strict=True)]
    content = path.read_bytes()
    text = (gzip.decompress(content) if kind is Kind.CSV_GZ else content).decode()
    header, *lines = text.splitlines()
    assert header == CSV_HEADER
    found = [line.split(",") for line in lines]
    return [Candle(int(time), *map(float, values)) for time, *values in found]


@pytest.mark.parametrize("kind", Kind)
def test_name_of_the_file_is_its_format(export, tmp_path, kind):
    store(candles(60, 120))
    path = tmp_path / f"out.{kind}"
    assert export(SERIES, "--output", path) == f"{SERIES}: 2 candles\n"
    assert rows(path) == candles(60, 120)
    assert sorted(each.name for each in tmp_path.iterdir()) == [path.name]


def test_option_names_the_format_whatever_the_name(export, tmp_path):
    store(candles(60))
    export(SERIES, "--output", tmp_path / "out", "--format", "parquet")
    assert pyarrow.parquet.read_table(tmp_path / "out").num_rows == 1


def test_many_series_are_one_file_each(export, tmp_path):
    for series in (MINUTE, *OTHERS):
        store(candles(60, 120), series)
    store(candles(3600), HOURS)
    report = export("binance:*:*/USDT:1m", HOURS, "--folder", tmp_path / "new" / "folder")
    assert report.splitlines()[-1] == "4 series, 7 candles"
    found = {path.name: len(rows(path)) for path in (tmp_path / "new" / "folder").iterdir()}
    assert found == {
        "binance_futures_BTC-USDT_1m.csv": 2,
        "binance_futures_ETH-USDT_1m.csv": 2,
        "binance_futures_XRP-USDT_1m.csv": 2,
        "okx_spot_BTC-USDT%3AUSDT_1h.csv": 1,
    }


def test_whole_exchange_is_exported(export, tmp_path):
    for series in (MINUTE, *OTHERS):
        store(candles(60, 120), series)
    store(candles(3600), HOURS)
    export("--exchange", "binance", "--folder", tmp_path, "--format", "csv.gz", "--from", 120)
    assert [rows(path) for path in sorted(tmp_path.iterdir())] == [candles(120)] * 3


def test_series_that_fails_does_not_keep_others_from_their_files(export, tmp_path):
    store(candles(60), MINUTE)
    store(candles(60), OTHERS[0])
    with unprotected():
        plant(MINUTE, candle(60)._replace(close=math.nan))
        with pytest.raises(CommandError, match="1 of 2 series were not exported"):
            export("--exchange", "binance", "--folder", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["binance_futures_ETH-USDT_1m.csv"]


REFUSED = {
    "name a series": [],
    "several series need a --folder": [SERIES, str(OTHERS[0])],
    "need a --folder, for": ["binance:*:*:1m", "--output", "x.csv"],
    "no stored series matches": ["binance:*:NONE*:1m", "--folder", "{folder}"],
    "no series of nowhere": ["--exchange", "nowhere", "--folder", "{folder}"],
    "series_id must be": ["abc"],
    "a pattern is": ["bin*"],
    "not allowed with": [SERIES, "--output", "x", "--folder", "y"],
    "invalid choice": [SERIES, "--format", "xls"],
    "parquet needs --output": [SERIES, "--format", "parquet"],
    "--since-last needs --output": [SERIES, "--since-last"],
    "no --to": [SERIES, "--output", "x", "--since-last", "--to", "120"],
    "no candles are stored": [str(HOURS), "--folder", "{folder}"],
    "No such file": [SERIES, "--output", "/nowhere/at/all.csv"],
    "Not a directory": [SERIES, "--folder", "/dev/null/x"],
}


@pytest.mark.parametrize(("message", "arguments"), REFUSED.items(), ids=REFUSED)
def test_command_line_that_can_not_work_is_refused(export, tmp_path, message, arguments):
    store(candles(60))
    with pytest.raises(CommandError, match=message):
        export(*(str(each).format(folder=tmp_path) for each in arguments))


def test_missing_extra_is_named(export, tmp_path, monkeypatch):
    store(candles(60))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(CommandError, match="arrow_not_installed"):
        export(SERIES, "--output", tmp_path / "out.parquet")
    assert list(tmp_path.iterdir()) == []
    export(SERIES, "--output", tmp_path / "out.csv")


def test_two_exports_do_not_write_into_one_folder(export, tmp_path):
    store(candles(60))
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        assert try_lock(descriptor)
        with pytest.raises(CommandError, match="another export is writing"):
            export(SERIES, "--folder", tmp_path)
    finally:
        os.close(descriptor)


@pytest.fixture
def reads(monkeypatch):
    """The first times of the ranges that are read from the store, probes for one candle aside."""
    starts = []
    kind = type(runtime.candle_store())
    whole = kind.read_range

    def noted(self, series, start, end, *, limit):
        if limit > 1:
            starts.append(start)
        return whole(self, series, start, end, limit=limit)

    monkeypatch.setattr(kind, "read_range", noted)
    return starts


@pytest.mark.parametrize("kind", Kind)
def test_file_is_brought_up_by_what_is_new(export, tmp_path, reads, kind):
    path = tmp_path / f"out.{kind}"
    line = (SERIES, "--output", path, "--since-last")
    store(candles(60, 120))
    assert export(*line) == f"{SERIES}: 2 candles since 1970-01-01 00:01:00\n"
    before = path.stat().st_ino
    assert export(*line) == f"{SERIES}: nothing has changed\n"
    assert path.stat().st_ino == before
    store(candles(180, 240))
    reads.clear()
    assert export(*line) == f"{SERIES}: 2 candles since 1970-01-01 00:03:00\n"
    assert min(reads) == 121
    assert rows(path) == candles(60, 120, 180, 240)


@pytest.mark.parametrize("kind", Kind)
def test_revised_and_late_candles_are_not_missed(export, tmp_path, kind):
    path = tmp_path / f"out.{kind}"
    line = (SERIES, "--output", path, "--since-last")
    store(candles(60, 180, 240))
    export(*line)
    store([candle(180, close=1.75)])
    store(candles(120))
    export(*line)
    assert rows(path) == [*candles(60, 120), candle(180, close=1.75), *candles(240)]


def test_any_history_of_exports_ends_in_the_whole_series(
    export, empty_store, tmp_path, monkeypatch
):
    """The same file as one export of everything, however candles came in between."""
    monkeypatch.setattr(exported, "PAGE", 7)
    chance = random.Random(11)
    kinds = {kind: tmp_path / f"kept.{kind}" for kind in Kind}
    for _ in range(12):
        for _ in range(chance.randint(0, 3)):
            time = 60 * chance.randint(1, 80)
            store([candle(time, close=chance.choice([1.5, 1.25, 1.75]))])
        for path in kinds.values():
            if empty_store.state(MINUTE).head is not None and chance.random() < 0.6:
                export(SERIES, "--output", path, "--since-last")
    for kind, path in kinds.items():
        export(SERIES, "--output", path, "--since-last")
        export(SERIES, "--output", tmp_path / f"whole.{kind}")
        assert rows(path) == rows(tmp_path / f"whole.{kind}")
        if kind is Kind.CSV:
            assert path.read_bytes() == (tmp_path / f"whole.{kind}").read_bytes()


def test_another_past_is_exported_anew(export, tmp_path):
    path = tmp_path / "out.csv"
    line = (SERIES, "--output", path, "--since-last")
    store(candles(60, 120, 180))
    export(*line)
    # As after a failover that lost the newest commits.
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM candles WHERE candle_time = 180")
        cursor.execute("UPDATE series SET head_time = 120")
    call_command("new_generation", stdout=io.StringIO())
    export(*line)
    assert rows(path) == candles(60, 120)


@pytest.mark.parametrize("is_lost", [True, False])
def test_what_retention_removed_stays_in_the_file(export, tmp_path, is_lost):
    path = tmp_path / "out.parquet"
    line = (SERIES, "--output", path, "--since-last")
    store(candles(60, 120, 180))
    export(*line)
    store([candle(60, close=1.75), *candles(240)])
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM candles WHERE candle_time < 180")
        cursor.execute("UPDATE series SET kept_from = 180")
    if is_lost:
        # The note is not of this file any more, so the whole series is read.
        os.utime(path, ns=(1, 1))
    export(*line)
    assert rows(path) == candles(60, 120, 180, 240)


def test_earlier_start_exports_what_is_before(export, tmp_path):
    path = tmp_path / "out.csv"
    store(candles(60, 120, 180))
    export(SERIES, "--output", path, "--since-last", "--from", 120)
    assert rows(path) == candles(120, 180)
    export(SERIES, "--output", path, "--since-last")
    assert rows(path) == candles(60, 120, 180)
    # What is there is not removed again.
    store(candles(240))
    export(SERIES, "--output", path, "--since-last", "--from", 180)
    assert rows(path) == candles(60, 120, 180, 240)


def test_crash_before_the_file_has_its_name_loses_no_revision(export, tmp_path, monkeypatch):
    path = tmp_path / "out.csv"
    line = (SERIES, "--output", path, "--since-last")
    store(candles(60, 120))
    export(*line)
    store([candle(60, close=1.75)])

    def crash(*given, real=exported._write_note):
        real(*given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(exported, "_write_note", crash)
        export(*line)
    assert rows(path) == candles(60, 120)
    export(*line)
    assert rows(path) == [candle(60, close=1.75), *candles(120)]


@pytest.mark.parametrize("kind", Kind)
def test_file_that_can_not_be_brought_up_stays_as_it_is(export, tmp_path, kind):
    path = tmp_path / f"out.{kind}"
    line = (SERIES, "--output", path, "--since-last")
    path.write_bytes(b"rubbish")
    store(candles(60, 120))
    with pytest.raises(CommandError, match="was not written with --since-last"):
        export(*line)
    path.unlink()
    export(*line)
    with pytest.raises(CommandError, match=f"has candles of {SERIES}"):
        store(candles(60), OTHERS[0])
        export(OTHERS[0], *line[1:])
    store(candles(180))
    status = path.stat()
    content = b"\0" + path.read_bytes()[1:-1] + b"\0"
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(CommandError, match="can't be read.*remove it"):
        export(*line)
    assert path.read_bytes() == content
    note_path(path).write_text("{")
    with pytest.raises(CommandError, match="is damaged: remove it"):
        export(*line)


def test_folder_is_brought_up_whole(export, tmp_path):
    for series in (MINUTE, *OTHERS):
        store(candles(60, 120), series)
    line = ("--exchange", "binance", "--folder", tmp_path, "--since-last", "--format", "parquet")
    export(*line)
    store(candles(180), OTHERS[1])
    report = export(*line)
    assert report.count("nothing has changed") == 2
    assert report.splitlines()[-1] == "3 series, 1 candles"


def test_stored_series_are_those_with_candles(empty_store):
    store(candles(60))
    assert stored_series() == [MINUTE] == [each.series for each in empty_store.series()]
