"""import_candles and export_candles."""

from __future__ import annotations

import gzip
from dataclasses import replace

import pytest
from django.core.management import CommandError

from market.candle_files.columns import CSV_HEADER
from market.tests.builders import MINUTE, candles

SERIES = str(MINUTE)


@pytest.fixture
def file(tmp_path):
    """Write a file of lines."""

    def write(*lines, name="candles.csv"):
        path = tmp_path / name
        text = "".join(f"{line}\n" for line in (CSV_HEADER, *lines)).encode()
        path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
        return path

    return write


def line(time, close="1.5"):
    return f"{time},1.0,2.0,0.5,{close},10.0"


@pytest.mark.parametrize("name", ["candles.csv", "candles.csv.gz", "candles.txt.gz"])
def test_file_is_imported_packed_or_not(run, empty_store, file, name):
    report = run("import_candles", file(line(60), line(120), name=name), SERIES)
    assert report.splitlines() == [
        f"{SERIES}: 2 inserted, 0 revised, 0 repeated",
        "  2 rows, from 1970-01-01 00:01:00 to 1970-01-01 00:02:00 UTC,"
        " 0 holes (0 candles missing)",
        "1 file, format: csv, times: seconds (2)",
        "refused rows: 0",
    ]
    assert empty_store.newest(MINUTE, 9) == candles(60, 120)


def test_second_import_reports_what_differs(run, empty_store, file):
    run("import_candles", file(line(60), line(180)), SERIES)
    again = file(line(60), line(120), line(180, close="1.75"), line(240))
    would = run("import_candles", again, SERIES, "--dry-run").splitlines()
    assert would[-1] == "dry run: nothing was stored"
    assert empty_store.count(MINUTE) == 2
    report = run("import_candles", again, SERIES).splitlines()
    assert would[0] == report[0] == f"{SERIES}: 2 inserted, 1 revised, 1 repeated"
    report = run("import_candles", again, SERIES).splitlines()
    assert report[0] == f"{SERIES}: 0 inserted, 0 revised, 4 repeated"
    assert empty_store.state(MINUTE).epoch == 1


WRONG = {
    "is not a number": "180,1.0,2.0,x,1.5,1.0",
    "all four prices are zero": "180,0,0.0,0,-0.0,0",
    "6 values expected, 5 found": "180,1.0,2.0,0.5,1.5",
    "low must not be above open or close": "180,1.0,2.0,1.2,1.5,1.0",
    "open must be a finite number": "180,nan,2.0,1.2,1.5,1.0",
    "close must be a finite number": "180,1.0,2.0,1.2,inf,1.0",
    "volume must not be negative": "180,1.0,2.0,0.5,1.5,-1.0",
    "candle_time must lie between": "-60,1.0,2.0,0.5,1.5,1.0",
    "candle_time is not whole seconds": "60.5,1.0,2.0,0.5,1.5,1.0",
    "candle_time is not on the 1m grid": "181,1.0,2.0,0.5,1.5,1.0",
    "volume is not a number": "180,1.0,2.0,0.5,1.5,1.0\0",
    "the candle is still open": "253402300740,1.0,2.0,0.5,1.5,1.0",
}


@pytest.mark.parametrize(("message", "wrong"), WRONG.items(), ids=WRONG)
def test_wrong_line_is_named_and_nothing_of_its_chunk_stored(
    run, empty_store, file, message, wrong
):
    with pytest.raises(CommandError, match=message) as error:
        run("import_candles", file(line(60), line(120), wrong), SERIES)
    assert "line 4: " in str(error.value)
    assert empty_store.series() == []


def test_chunks_before_the_wrong_line_remain(run, empty_store, file):
    path = file(*map(line, (60, 120, 180, 240, 300)), "x")
    with pytest.raises(CommandError, match="line 7: .*\nstored before that: 4 inserted"):
        run("import_candles", path, SERIES, "--chunk", "2")
    assert empty_store.newest(MINUTE, 9) == candles(60, 120, 180, 240)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: unknown_format: the header must be"),
        (b"time,open\n1,2\n", "line 1: unknown_format: the header must be"),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03rubbish", "bad_gzip: "),
        (gzip.compress(f"{CSV_HEADER}\n{line(60)}\n".encode())[:-9], "ended before"),
        (bytes(range(128, 256)) * 9, "UTF-8"),
    ],
    ids=["empty", "other header", "rubbish", "cut", "no text"],
)
def test_file_that_is_something_else_is_refused(run, empty_store, tmp_path, content, message):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(CommandError, match=message):
        run("import_candles", path, SERIES)
    assert empty_store.series() == []


def test_missing_file_and_bad_series_are_refused(run, tmp_path):
    with pytest.raises(CommandError, match="No such file"):
        run("import_candles", tmp_path / "none.csv", SERIES)
    with pytest.raises(CommandError, match="series_id must be"):
        run("import_candles", tmp_path / "none.csv", "abc")


def test_off_grid_times_are_imported_on_request(run, empty_store, file):
    run("import_candles", "--off-grid", file(line(61)), SERIES)
    assert empty_store.newest(MINUTE, 9) == candles(61)


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz"])
def test_export_can_be_imported_to_the_same_candles(run, empty_store, file, tmp_path, name):
    exact = ("60,0.1,0.30000000000000004,1e-300,0.1,5e-324", "120,100.0,1e+300,0.5,1.5,0.0")
    run("import_candles", file(*exact), SERIES)
    target = tmp_path / name
    run("export_candles", SERIES, "--output", target)
    packed = target.read_bytes()
    text = gzip.decompress(packed) if name.endswith(".gz") else packed
    assert text.decode() == "".join(f"{each}\n" for each in (CSV_HEADER, *exact))
    again = run("import_candles", target, SERIES)
    assert again.startswith(f"{SERIES}: 0 inserted, 0 revised, 2 repeated\n")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_export_goes_to_standard_output_and_keeps_to_its_range(run, file):
    run("import_candles", file(*map(line, range(60, 600, 60))), SERIES)
    text = run("export_candles", SERIES, "--from", "120", "--to", "1970-01-01T00:04:00Z")
    assert text.splitlines() == [CSV_HEADER, line(120), line(180), line(240)]


def test_export_of_nothing_is_refused(run):
    with pytest.raises(CommandError, match="no candles"):
        run("export_candles", SERIES)


@pytest.mark.parametrize(
    "command", ["series", "export_candles", "import_candles", "gaps", "backfill"]
)
def test_command_without_a_database_names_the_switch(run, switched_off, file, command):
    arguments = {
        "series": [],
        "import_candles": [file(), SERIES],
        "backfill": [SERIES, "--from=0"],
    }.get(command, [SERIES])
    with pytest.raises(CommandError, match="TRADE_CANVAS_ENABLE_PG_STORE=1"):
        run(command, *arguments)


@pytest.fixture
def switched_off(settings):
    settings.SWITCHES = replace(settings.SWITCHES, enable_pg_store=False)


def test_another_name_of_a_series_is_refused_with_the_canonical_one(run, file):
    for command in (("import_candles", file(line(60))), ("backfill",)):
        with pytest.raises(CommandError, match="series_alias.*sim:spot:CSV/USDT:1h"):
            run(*map(str, command), "sim:spot:CSV/USDT:60m")
