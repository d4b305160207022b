"""Files as people have them: what is read of each, by all readers of text."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow
import pyarrow.feather
import pyarrow.parquet
import pytest

from market.candle_files import fast_blocks
from market.candle_files.columns import CSV_HEADER
from market.candle_files.judge import Judges, Rules
from market.candle_files.reading import read
from market.candle_files.refusals import FileRefused, Refusals
from market.candle_files.text_formats import FORMATS, layout_of
from market.domain.candle import Candle
from market.domain.series import SeriesId

FILES = Path(__file__).parent / "files"
NOW = 1_800_000_000
MINUTES = range(1_700_000_100, 1_700_000_700, 60)
HOURS = range(1_699_982_100, 1_700_000_101, 3_600)


@pytest.fixture(params=["pyarrow", "csv", "rows"], autouse=True)
def reader(request, monkeypatch):
    """Read every file of this page with pyarrow, without it, and row by row."""
    if request.param == "csv":
        monkeypatch.setattr(fast_blocks, "has_arrow", lambda: False)
    if request.param == "rows":
        monkeypatch.setattr(fast_blocks.FastReader, "candles", lambda reader, data: None)


class Taken:
    """What was read of one file."""

    def __init__(self, content, timeframe="1m", *, continues=False, name="x:spot:A/B", **options):
        if isinstance(content, str | Path):
            content = (FILES / content).read_bytes()
        wanted = {
            key: options.pop(key) for key in ("wanted", "allow_unterminated") if key in options
        }
        series = SeriesId.parse(f"{name}:{timeframe}") if name else None
        self.refusals = Refusals(continues=continues)
        judges = Judges(series, Rules(now=NOW, **options), refusals=self.refusals)
        reading = read(io.BytesIO(content), judges, **wanted)
        self.rows = list(reading.rows)
        self.candles = [candle for rows in self.rows for candle in rows.candles]
        self.times = [candle.candle_time for candle in self.candles]
        self.format, self.forms = reading.format, dict(judges.forms)


ACCEPTED = {
    "bom.csv": ("1m", "csv", {"seconds": 10}, MINUTES),
    "utf16.csv": ("1m", "csv", {"seconds": 10}, MINUTES),
    "blank_end.csv": ("1m", "csv", {"seconds": 10}, MINUTES),
    "float_time.csv": ("1m", "csv", {"seconds": 5}, MINUTES[:5]),
    "us_time.csv": ("1m", "csv", {"microseconds": 10}, MINUTES),
    "binance_spot_us.csv": ("1m", "binance", {"microseconds": 10}, MINUTES),
    "binance_futures_header.csv": ("1m", "binance", {"milliseconds": 10}, MINUTES),
    "cdd.csv": ("1h~15m", "cryptodatadownload", {"milliseconds": 3, "seconds": 3}, HOURS[::-1]),
    "kucoin.csv": ("1d", "kucoin", {"seconds": 1}, [1_642_032_000]),
    "mt5.csv": ("1m", "mt5", {"ISO 8601": 1}, [1_700_000_100]),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_file_is_read_and_its_format_and_times_are_known(name):
    timeframe, form, forms, times = ACCEPTED[name]
    taken = Taken(name, timeframe)
    assert (taken.format, taken.forms, taken.times) == (form, forms, list(times))


def test_columns_are_taken_where_the_format_has_them():
    assert Taken("kucoin.csv", "1d").candles == [
        Candle(1_642_032_000, 43917.0, 44421.0, 41500.0, 42277.7, 31788.63488114)
    ]
    # A broker without real volume: the number of ticks.
    assert Taken("mt5.csv").candles == [Candle(1_700_000_100, 1.0701, 1.0702, 1.07, 1.07015, 35.0)]
    assert Taken("cdd.csv", "1h~15m").candles[0] == Candle(
        1_700_000_100, 100.0, 101.0, 99.0, 100.5, 1.5
    )
    assert Taken("binance_spot_us.csv").candles[0] == Candle(
        1_700_000_100, 0.316, 0.317, 0.315, 0.316, 27.0
    )


REFUSED = {
    "future.csv": "line 2: still_open: ",
    "underscore.csv": "line 2: not_a_number: open is not a number: '3_6500.5'",
    "zero.csv": "line 2: impossible_candle: ",
    "trunc_number.csv": "line 11: unterminated: ",
}


@pytest.mark.parametrize("name", REFUSED)
def test_first_wrong_line_is_named(name):
    with pytest.raises(FileRefused) as error:
        Taken(name)
    assert str(error.value).startswith(REFUSED[name])


def test_cut_last_line_is_taken_on_request():
    assert Taken("trunc_number.csv", allow_unterminated=True).times == list(MINUTES)


def lines(*rows, header=CSV_HEADER, end="\n"):
    return "".join(f"{row}{end}" for row in (header, *rows)).encode()


def line(time, rest="1,2,0.5,1.5,10"):
    return f"{time},{rest}"


READ_AS_ONE = {
    "CRLF": lines(line(60), end="\r\n"),
    "blank lines": lines("", line(60), "", "  ", ""),
    "semicolons": lines(line(60), header=CSV_HEADER).replace(b",", b";"),
    "tabs": lines(line(60)).replace(b",", b"\t"),
    "quotes": lines('"60","1","2","0.5","1.5","10"'),
    "spaces": lines("60, 1, 2, 0.5, 1.5 , 10", header=CSV_HEADER.replace(",", " , ")),
    "other order": lines(
        "1,2,10,0.5,1.5,1970-01-01T00:01:00Z", header="open,high,volume,low,close,date"
    ),
    "capital letters": lines("60,1,2,0.5,1.5,10", header="Timestamp,Open,High,Low,Close,Volume"),
    "milliseconds": lines("1970-01-01 00:01:00.000,1,2,0.5,1.5,10"),
    "offset": lines("1970-01-01 02:01:00+02:00,1,2,0.5,1.5,10"),
    "slashes": lines("1970/01/01 00:01,1,2,0.5,1.5,10"),
    "exponents": lines("6e1,1e0,.2e1,5E-1,1.5,+10."),
    "a comment": b"# downloaded today\n\n" + lines(line(60)),
    "short comments": b"#\n# x\n#\n\n# y\n" + lines(line(60)),
    "JSON": b"[[60, 1, 2, 0.5, 1.5, 10]]",
    "JSON of several lines": b"[\n [\n  60,\n  1, 2, 0.5, 1.5, 10\n ]\n]\n",
    "JSON with texts, and more values": b'[[60,"1","2","0.5","1.5","10",119,"7"]]',
    "packed JSON": gzip.compress(b"[[60,1,2,0.5,1.5,10]]"),
    "kraken": b"60,1,2,0.5,1.5,10,3\n",
    "stooq in bulk": b"<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n"
    b"BTC,1,19700101,000100,1,2,0.5,1.5,10,0\n",
    "gemini": b"https://www.CryptoDataDownload.com\n"
    b"Unix Timestamp,Date,Symbol,Open,High,Low,Close,Volume\n"
    b"60,1970-01-01 00:01:00,BTCUSD,1,2,0.5,1.5,10\n",
}  # fmt: skip


@pytest.mark.parametrize("name", READ_AS_ONE)
def test_way_of_writing_a_candle_is_read(name):
    assert Taken(READ_AS_ONE[name]).candles == [Candle(60, 1.0, 2.0, 0.5, 1.5, 10.0)]


DAILIES = {
    "yahoo": b"Date,Open,High,Low,Close,Adj Close,Volume\n1970-01-02,1,2,0.5,1.5,1.4,10\n",
    "stooq": b"Date,Open,High,Low,Close,Volume\r\n1970-01-02,1,2,0.5,1.5,10\r\n",
    "mt5": b"<DATE>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\r\n"
    b"1970.01.02\t1\t2\t0.5\t1.5\t99\t10\t1\r\n",
}


@pytest.mark.parametrize("name", DAILIES)
def test_dailies_are_read(name):
    taken = Taken(DAILIES[name], "1d")
    assert taken.format == name
    assert taken.candles == [Candle(86_400, 1.0, 2.0, 0.5, 1.5, 10.0)]


WRONG = {
    "bad_time: candle_time is not a time": "noon,1,2,0.5,1.5,10",
    "bad_time: candle_time is not whole seconds": "60.5,1,2,0.5,1.5,10",
    "bad_time: candle_time is too large": "9" * 22 + ",1,2,0.5,1.5,10",
    "impossible_candle: candle_time must lie between": "-60,1,2,0.5,1.5,10",
    "close_time: ": "1700000159999,1,2,0.5,1.5,10",
    "close_time: candle_time is a close time": "1700000159,1,2,0.5,1.5,10",
    "close_time: candle_time is a close": "2023-11-14 22:15:59.999,1,2,0.5,1.5,10",
    "off_grid: candle_time is not on the 1m grid": "61,1,2,0.5,1.5,10",
    "not_a_number: open is not a number: '٣'": "60,٣,2,0.5,1.5,10",
    "not_a_number: high is not a number: '0x2'": "60,1,0x2,0.5,1.5,10",
    "not_a_number: volume is not a number": "60,1,2,0.5,1.5,",
    "not_a_number: volume is not a number: '1_0'": "60,1,2,0.5,1.5,1_0",
    "not_a_number: low is not a number: '0,5'": '60,1,2,"0,5",1.5,10',
    "not_finite: open must be a finite number": "60,NaN,2,0.5,1.5,10",
    "not_finite: close must be a finite number": "60,1,2,0.5,-inf,10",
    "impossible_candle: high must be a finite number": "60,1,2e999,0.5,1.5,10",
    "impossible_candle: low must not be above": "60,1,2,1.2,1.5,10",
    "impossible_candle: high must not be below": "60,1,1.2,0.5,1.5,10",
    "impossible_candle: volume must not be negative": "60,1,2,0.5,1.5,-1",
    "impossible_candle: all four prices are zero": "60,0,0,0,0,0",
    "still_open: ": "4102444800,1,2,0.5,1.5,10",
    "wrong_width: 6 values expected, 5 found": "60,1,2,0.5,1.5",
    "bad_csv: ": '60,1,2,0.5,1.5,"10',
}


@pytest.mark.parametrize("reason", WRONG)
def test_wrong_row_is_refused_with_line_and_reason(reason):
    good = [line(time) for time in (0, 60, 120)]
    with pytest.raises(FileRefused) as error:
        Taken(lines(*good, WRONG[reason], WRONG[reason], line(180)))
    assert str(error.value).startswith(f"line 5: {reason}")


def test_rows_before_the_first_wrong_line_can_be_stored_and_those_after_it_on_request():
    content = lines(line(0), line(60, "x,2,0.5,1.5,10"), line(120), line(61), line(180))
    taken = Taken(content, continues=True)
    assert taken.times == [0, 120, 180]
    assert taken.refusals.reasons.total() == 2
    assert str(taken.refusals.first).startswith("line 3: not_a_number: open")


def test_wrong_row_of_json_is_named_by_its_number():
    rows = [[0, 1, 2, 0.5, 1.5, 10], [60, None, 2, 0.5, 1.5, 10]]
    with pytest.raises(FileRefused, match="^row 2: not_a_number: open is not a number: 'null'"):
        Taken(json.dumps(rows).encode())


BROKEN = {
    "unknown_format: ": b"time,open\n1,2\n",
    "unknown_format: the header must be": b"",
    "close_time: the file has close times": b"close_time,open,high,low,close,volume\n",
    "encoding: the file is not UTF-8": bytes(range(128, 256)) * 9,
    "encoding: the file looks like UTF-16": lines(line(60)).decode().encode("utf-16-le"),
    "encoding: the file is UTF-32": lines(line(60)).decode().encode("utf-32"),
    "encoding: the file is not UTF-16": b"\xff\xfe\x00\xd8\x41\x00",
    "long_line: ": b"1" * 3_000_000,
    "bad_gzip: ": gzip.compress(lines(line(60)))[:-9],
    "bad_gzip: Error": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03rubbish rubbish",
    "bad_json: the array has no end": b"[[60,1,2,0.5,1.5,10],[120,1,2",
    "bad_json: the file must be an array": b'[{"time":60}]',
    "bad_table: ": b"PAR1 and nothing else",
    "old_feather: ": b"FEA1",
}


@pytest.mark.parametrize("reason", BROKEN)
def test_file_that_is_something_else_is_refused(reason):
    with pytest.raises(FileRefused) as error:
        Taken(BROKEN[reason])
    assert str(error.value).removeprefix("line 1: ").startswith(reason)


def test_low_above_the_open_by_rounding_is_widened():
    content = lines("60,0.3,0.4,0.30000000000000004,0.35,1")
    assert Taken(content).candles == [Candle(60, 0.3, 0.4, 0.3, 0.35, 1.0)]


@pytest.mark.parametrize("known", [each for each in FORMATS if each.header])
def test_format_of_the_table_is_recognised_by_its_header(known):
    header = ",".join(name.replace("*", " BTC") for name in known.header)
    layout = layout_of([header, "1," * len(known.header)])
    assert (layout.name, layout.at, layout.skip) == (known.name, known.at, 1)


def test_arrays_of_json_may_differ_in_length():
    rows = [[time, 1, 2, 0.5, 1.5, 10] for time in MINUTES]
    assert Taken(json.dumps(rows).encode()).times == list(MINUTES)
    rows[3].append("more")
    assert Taken(json.dumps(rows).encode()).times == list(MINUTES)


def test_format_that_was_asked_for_is_required():
    assert Taken("kucoin.csv", "1d", wanted="kucoin").format == "kucoin"
    # By the names of its columns it can be read as well.
    assert Taken("kucoin.csv", "1d", wanted="named").candles == Taken("kucoin.csv", "1d").candles
    for wanted in ("binance", "json", "parquet"):
        with pytest.raises(FileRefused):
            Taken("kucoin.csv", "1d", wanted=wanted)


def test_times_without_a_zone_are_taken_in_the_one_given():
    athens = {"zone": ZoneInfo("Europe/Athens")}
    assert Taken("mt5.csv", **athens).times == [1_700_000_100 - 7_200]
    assert Taken(lines("1970-01-01T00:01:00Z,1,2,0.5,1.5,10"), **athens).times == [60]


def test_off_grid_times_are_read_on_request():
    assert Taken(lines(line(61)), off_grid=True).times == [61]


def test_rows_name_their_series():
    header = f"series_id,{CSV_HEADER}"
    content = lines(
        f"a:spot:X/Y:1m,{line(60)}", f"a:spot:X/Y:1m,{line(120)}", f"a:spot:X/Y:1h,{line(3600)}",
        header=header,
    )  # fmt: skip
    found = {str(rows.series): len(rows.candles) for rows in Taken(content, name="").rows}
    assert found == {"a:spot:X/Y:1m": 2, "a:spot:X/Y:1h": 1}
    with pytest.raises(FileRefused, match="line 2: other_series"):
        Taken(content)
    with pytest.raises(FileRefused, match="line 2: no_series"):
        Taken(lines(f"nothing,{line(60)}", header=header), name="")


def test_file_without_a_series_is_refused():
    with pytest.raises(FileRefused, match="^no_series"):
        Taken(lines(line(60)), name="")


COLUMNS = {
    "date": pyarrow.array([60_000, 120_000], pyarrow.timestamp("ms", "UTC")),
    "open": [1.0, 1.0],
    "high": [2.0, 2.0],
    "low": [0.5, 0.5],
    "close": [1.5, 1.5],
    "volume": [10.0, 10.0],
}


def table(**columns):
    return pyarrow.table(COLUMNS | columns)


def packed(content, kind):
    sink = io.BytesIO()
    if kind == "parquet":
        pyarrow.parquet.write_table(content, sink)
    elif kind == "feather":
        pyarrow.feather.write_feather(content, sink, compression="zstd")
    else:
        with pyarrow.ipc.new_stream(sink, content.schema) as writer:
            writer.write_table(content)
    return sink.getvalue()


TIMES = {
    "ms": COLUMNS["date"],
    "ns": pyarrow.array([60 * 10**9, 120 * 10**9], pyarrow.timestamp("ns", "UTC")),
    "without a zone": pyarrow.array([60, 120], pyarrow.timestamp("s")),
    "whole": [60, 120],
    "float": [60.0, 120.0],
    "text": ["1970-01-01 00:01:00", "1970-01-01 00:02:00"],
}


@pytest.mark.parametrize("kind", ["parquet", "feather", "stream"])
@pytest.mark.parametrize("form", TIMES)
def test_table_is_read(kind, form):
    taken = Taken(packed(table(date=TIMES[form]), kind))
    assert taken.candles == [Candle(time, 1.0, 2.0, 0.5, 1.5, 10.0) for time in (60, 120)]


def test_small_whole_numbers_of_a_table_are_seconds():
    days = pyarrow.array([1, 2], pyarrow.date32())
    assert Taken(packed(table(date=days), "parquet"), "1d").times == [86_400, 172_800]


WRONG_COLUMNS = {
    "row 2: not_a_number: open is missing": {"open": [1.0, None]},
    "row 2: impossible_candle: low must be a finite": {"low": [0.5, float("nan")]},
    "row 1: off_grid": {"date": [61, 120]},
    "row 2: impossible_candle: all four prices": {
        name: [1.0, 0.0] for name in ("open", "high", "low", "close", "volume")
    },
    "not_a_number: the column close holds string": {"close": ["1.5", "1.5"]},
}


@pytest.mark.parametrize("reason", WRONG_COLUMNS)
def test_wrong_row_of_a_table_is_named(reason):
    with pytest.raises(FileRefused) as error:
        Taken(packed(table(**WRONG_COLUMNS[reason]), "parquet"))
    assert str(error.value).startswith(reason)


def test_table_without_prices_is_refused():
    with pytest.raises(FileRefused, match="unknown_format"):
        Taken(packed(pyarrow.table({"date": [1], "rate": [0.1]}), "feather"))
