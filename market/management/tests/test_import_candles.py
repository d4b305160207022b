"""import_candles on files, folders and archives as people have them."""

from __future__ import annotations

import io
import random
import sys
import zipfile
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from market import runtime
from market.candle_files import fast_blocks
from market.candle_files.columns import CSV_HEADER
from market.candle_files.writers import Kind
from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.ingest import file_import
from market.management import progress
from market.tests.builders import MINUTE, candle, candles

SERIES = str(MINUTE)
FILES = Path(file_import.__file__).parents[1] / "candle_files" / "tests" / "files"


def line(time, rest="1.0,2.0,0.5,1.5,10.0"):
    return f"{time},{rest}"


@pytest.fixture
def file(tmp_path):
    """Write a file of lines."""

    def write(*rows, name="candles.csv", header=CSV_HEADER):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{row}\n" for row in (header, *rows)))
        return path

    return write


def test_coarser_candles_are_refused_unless_asked_for(run, empty_store):
    path = FILES / "fiveminute_as_1m.csv"
    with pytest.raises(CommandError, match="line 2: coarser_timeframe: .* 300 s apart"):
        run("import_candles", path, SERIES)
    assert empty_store.count(MINUTE) == 0
    run("import_candles", path, SERIES, "--allow-coarser")
    assert empty_store.count(MINUTE) == 10


def test_candles_with_holes_are_not_taken_for_coarser_ones(run, file):
    report = run("import_candles", file(line(60), line(180), line(360), line(420)), SERIES)
    assert "2 holes (3 candles missing)" in report
    # One chunk after another is looked at, and of the second all are far apart.
    times = [60, 120, 240, 360, 480]
    run("import_candles", file(*map(line, times)), SERIES, "--chunk", "2")


def test_rows_in_any_order_become_one_series(run, empty_store, file):
    times = [60 * n for n in range(1, 30)]
    random.Random(5).shuffle(times)
    report = run("import_candles", file(*map(line, times)), SERIES, "--chunk", "7")
    assert "29 rows, from 1970-01-01 00:01:00 to 1970-01-01 00:29:00 UTC, 0 holes" in report
    assert empty_store.newest(MINUTE, 99) == candles(*range(60, 1800, 60))


def test_newest_first_is_stored_without_revisions(run, empty_store, file):
    times = range(6000, 0, -60)
    run("import_candles", file(*map(line, times)), SERIES, "--chunk", "7")
    assert empty_store.newest(MINUTE, 999) == candles(*reversed(times))
    assert empty_store.state(MINUTE).epoch == 0


def test_newest_first_beyond_what_is_held_is_stored_all_the_same(
    empty_store, run, file, monkeypatch
):
    monkeypatch.setattr(file_import, "MOST_HELD", 10)
    monkeypatch.setattr("market.candle_files.text_blocks.BLOCK_BYTES", 100)
    times = range(6000, 0, -60)
    run("import_candles", file(*map(line, times)), SERIES, "--chunk", "7")
    assert empty_store.newest(MINUTE, 999) == candles(*reversed(times))


def test_of_rows_for_one_time_the_last_counts(run, empty_store, file):
    report = run("import_candles", file(line(60, "1,2,0.5,1.7,10"), line(60)), SERIES)
    assert "2 rows, 1 of them for the same time as another" in report
    assert empty_store.newest(MINUTE, 9) == candles(60)


def test_refused_rows_are_skipped_on_request_and_counted_by_reason(run, empty_store, file):
    path = file(line(60), line("x"), line(120, "1,2,0.5,nan,1"), line(180), line("y"))
    report = run("import_candles", path, SERIES, "--skip-refused").splitlines()
    assert report[0] == f"{SERIES}: 2 inserted, 0 revised, 0 repeated"
    assert report[3:] == [
        "refused rows: 3",
        "  2 × bad_time: candle_time is not a time",
        "  1 × not_finite: close must be a finite number",
    ]
    assert empty_store.newest(MINUTE, 9) == candles(60, 180)


def test_dry_run_goes_through_all_rows_and_fails_at_the_first_wrong_one(run, empty_store, file):
    path = file(line(60), line("x"), line(120), line("y"))
    out = io.StringIO()
    with pytest.raises(CommandError, match="^candles.csv: line 3: bad_time"):
        call_command("import_candles", path, SERIES, "--dry-run", stdout=out, stderr=io.StringIO())
    assert "refused rows: 2\n  2 × bad_time: candle_time is not a time" in out.getvalue()
    report = run("import_candles", path, SERIES, "--dry-run", "--skip-refused")
    assert f"{SERIES}: 2 inserted" in report
    assert empty_store.series() == []


def test_folder_is_imported_by_the_names_of_its_files(run, empty_store, file, tmp_path):
    header = "date,open,high,low,close,volume"
    file(line("1970-01-01 01:00:00"), name="data/binance/ETH_USDT-1h.csv", header=header)
    file(line("x"), name="data/binance/BAD_USDT-1h.csv", header=header)
    file(line(60), name="data/unknown.csv")
    file(name="data/readme.md")
    with zipfile.ZipFile(tmp_path / "data" / "all.zip", "w") as archive:
        for month, time in (("01", 60), ("02", 120)):
            rows = f"{time + 1_700_000_040}000000,1,2,0.5,1.5,10,0,0,0,0,0,0\n"
            archive.writestr(f"spot/BTCUSDT-1m-2024-{month}.csv", rows)
    out = io.StringIO()
    with pytest.raises(CommandError) as error:
        call_command("import_candles", str(tmp_path / "data"), stdout=out, stderr=io.StringIO())
    assert str(error.value).splitlines() == [
        "2 of 5 files refused:",
        "data/unknown.csv: no_series: neither the file nor its name has a series:"
        " give it as an argument",
        "data/binance/BAD_USDT-1h.csv: line 2: bad_time: candle_time is not a time: 'x'",
    ]
    assert "files that hold no candles: readme.md" in out.getvalue()
    assert "5 files, format: binance, csv, stooq" in out.getvalue()
    found = {str(each.series): each.count for each in empty_store.series()}
    assert found == {"binance:spot:BTC/USDT:1m": 2, "binance:spot:ETH/USDT:1h": 1}


def test_name_without_a_market_needs_the_option(run, empty_store, tmp_path):
    path = tmp_path / "BTCUSDT-1m-2024-01.csv"
    path.write_text("60000,1,2,0.5,1.5,10,0,0,0,0,0,0\n")
    with pytest.raises(CommandError, match="no_series: .*--market"):
        run("import_candles", path)
    run("import_candles", path, "--market", "futures")
    assert [each.series for each in empty_store.series()] == [MINUTE]


# Zero with a sign, the least number, the greatest, and one that no short decimal is.
EXACT = [
    Candle(60, 0.1, 0.30000000000000004, 1e-300, 0.1, 5e-324),
    Candle(120, 100.0, 1.7976931348623157e308, 0.5, 1.5, 0.0),
    Candle(180, -0.5, 0.1 + 0.2, -1e300, 0.0, 123456789.12345679),
]


@pytest.mark.parametrize("with_arrow", [True, False])
@pytest.mark.parametrize("kind", Kind)
def test_export_is_imported_to_the_same_bits(
    run, empty_store, tmp_path, monkeypatch, kind, with_arrow
):
    if not with_arrow:
        monkeypatch.setattr(fast_blocks, "has_arrow", lambda: False)
    runtime.pipeline().ingest(MINUTE, EXACT)
    run("export_candles", SERIES, "--folder", tmp_path, "--format", kind)
    report = run("import_candles", tmp_path)
    assert report.startswith(f"{SERIES}: 0 inserted, 0 revised, 3 repeated\n")
    other = SeriesId.parse("okx:spot:BTC/USDT:1m")
    (path,) = tmp_path.iterdir()
    run("import_candles", path, other)
    assert empty_store.newest(other, 9) == EXACT


def test_table_names_its_series(run, empty_store, tmp_path):
    runtime.pipeline().ingest(MINUTE, EXACT)
    run("export_candles", SERIES, "--output", tmp_path / "any.parquet")
    assert run("import_candles", tmp_path / "any.parquet").startswith(f"{SERIES}: 0 inserted")


def test_missing_extra_is_named(run, empty_store, tmp_path, monkeypatch):
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(CommandError, match="^arrow_not_installed: .*requirements-arrow"):
        run("import_candles", tmp_path / "x.parquet", SERIES)


def test_import_without_the_extra_reads_text(run, empty_store, file, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    run("import_candles", file(line(60)), SERIES)
    assert empty_store.newest(MINUTE, 9) == candles(60)


def test_derived_series_in_a_file_is_refused(run, file, empty_store, monkeypatch):
    path = file(f"binance:futures:BTC/USDT:5m,{line(300)}", header=f"series_id,{CSV_HEADER}")
    run("import_candles", path)
    command = "market.management.commands.import_candles.derived_timeframes"
    monkeypatch.setattr(command, Derived)
    with pytest.raises(CommandError, match="line 2: derived_series: .* import"):
        run("import_candles", path)


class Derived:
    """Everything is derived from minutes."""

    def base_of(self, series):
        return MINUTE


def test_progress_is_printed_when_there_is_no_terminal(empty_store, file, monkeypatch):
    monkeypatch.setattr(progress, "LINES_EVERY_S", 0.0)
    path = file(*map(line, range(60, 600, 60)))
    err = io.StringIO()
    call_command("import_candles", path, SERIES, "--chunk=5", stdout=io.StringIO(), stderr=err)
    assert err.getvalue() == "candles.csv: 100%, 5 rows\ncandles.csv: 100%, 9 rows\n"
    err = io.StringIO()
    call_command("import_candles", path, SERIES, "--no-progress", stdout=io.StringIO(), stderr=err)
    assert err.getvalue() == ""


@pytest.mark.parametrize("most_open", [3, 1000])
def test_mixed_rows_of_many_series_are_stored_in_few_chunks(
    run, empty_store, file, monkeypatch, most_open
):
    monkeypatch.setattr(file_import, "MOST_OPEN", most_open)
    series = [f"okx:spot:{base}/USDT:1m" for base in ("BTC", "ETH")]
    rows = [f"{each},{line(time)}" for time in range(60, 600, 60) for each in series]
    calls, ingest = [], type(runtime.pipeline()).ingest
    monkeypatch.setattr(
        type(runtime.pipeline()), "ingest", lambda *given: calls.append(1) or ingest(*given)
    )
    run("import_candles", file(*rows, header=f"series_id,{CSV_HEADER}"), "--chunk", "5")
    for each in series:
        assert empty_store.newest(SeriesId.parse(each), 99) == candles(*range(60, 600, 60))
    assert most_open == 3 or len(calls) == 4


def test_interrupted_import_reports_what_it_stored(run, empty_store, file, monkeypatch):
    ingest, calls = type(runtime.pipeline()).ingest, []

    def interrupted(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return ingest(*arguments, **options)

    monkeypatch.setattr(type(runtime.pipeline()), "ingest", interrupted)
    path = file(*map(line, range(60, 600, 60)))
    with pytest.raises(CommandError, match="^interrupted\nstored before that: 4 inserted"):
        run("import_candles", path, SERIES, "--chunk", "4")
    assert run("import_candles", path, SERIES).startswith(f"{SERIES}: 5 inserted, 0 revised, 4 rep")


def test_revised_candles_are_counted_apart_from_filled_holes(run, empty_store, file):
    runtime.pipeline().ingest(MINUTE, [candle(60, close=1.7), candle(180), candle(240)])
    report = run("import_candles", file(*map(line, (60, 120, 180, 300))), SERIES)
    assert report.startswith(f"{SERIES}: 2 inserted, 1 revised, 1 repeated\n")
