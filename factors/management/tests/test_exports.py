"""export_events and export_features: every format, many series, and series that are revised."""

from __future__ import annotations

import csv
import gzip
import io
import json

import pyarrow.feather
import pyarrow.parquet
import pytest
from django.core.management import CommandError, call_command

from factors import events, features, runtime
from factors.domain.tests.recordings import flat
from factors.management.commands import export_features
from market.candle_files.writers import Kind
from market.domain.series import SeriesId
from market.pipeline import Pipeline
from market.runtime import candle_store, pipeline
from market.tests.builders import MINUTE

SERIES = str(MINUTE)
OTHER = SeriesId.parse("binance:futures:ETH/USDT:1m")
WAVES = flat(*[100.0 + abs(each % 120 - 60) * (1 + each // 120) for each in range(600)])
COLUMNS = ["candle_time", "id", "factor", "kind", "event_key", "payload"]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def export():
    """Run a command; what it writes to standard output and what it reports."""

    def command(name, *arguments):
        output, report = io.StringIO(), io.StringIO()
        call_command(name, *map(str, arguments), stdout=output, stderr=report)
        return output.getvalue(), report.getvalue()

    return command


def table(content, kind):
    """Header and rows of a file, read without our own code."""
    if kind.needs_arrow:
        source = io.BytesIO(content)
        read = pyarrow.parquet.read_table if kind is Kind.PARQUET else pyarrow.feather.read_table
        found = read(source)
        assert found.schema.metadata[b"trade_canvas.series_id"].decode() == SERIES
        columns = [column.to_pylist() for column in found.columns]
        return found.column_names, list(map(list, zip(*columns, strict=True)))
    content = gzip.decompress(content) if kind is Kind.CSV_GZ else content
    header, *rows = csv.reader(io.StringIO(content.decode(), newline=""))
    return header, rows


def expected_events(kinds=None):
    return [
        [each.candle_time, number, each.factor, each.kind, each.event_key, dict(each.payload)]
        for page in events.pages(MINUTE, kinds=kinds)
        for number, each in page.events
    ]


def parsed_events(rows):
    return [[int(row[0]), int(row[1]), *row[2:5], json.loads(row[5])] for row in rows]


@pytest.mark.parametrize("kind", Kind)
def test_events_are_the_pages_in_every_format(export, tmp_path, kind):
    pipeline().ingest(MINUTE, WAVES)
    path = tmp_path / f"out.{kind}"
    _, report = export("export_events", SERIES, "--output", path)
    header, rows = table(path.read_bytes(), kind)
    assert header == COLUMNS
    assert parsed_events(rows) == expected_events()
    assert len(rows) > 30
    assert report == f"{SERIES}: {len(rows)} events\n"
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_events_go_to_standard_output(export):
    pipeline().ingest(MINUTE, WAVES)
    output, _ = export("export_events", SERIES, "--kinds", "pen.confirmed,zhongshu.dead")
    _, rows = table(output.encode(), Kind.CSV)
    assert parsed_events(rows) == expected_events(["pen.confirmed", "zhongshu.dead"])
    assert rows


def test_range_of_events_has_both_ends(export, tmp_path):
    pipeline().ingest(MINUTE, WAVES)
    times = [row[0] for row in expected_events()]
    start, end = times[5], times[-5]
    output, _ = export("export_events", SERIES, "--from", start, "--to", end)
    _, rows = table(output.encode(), Kind.CSV)
    assert [int(row[0]) for row in rows] == [time for time in times if start <= time <= end]


@pytest.mark.parametrize("kind", Kind)
def test_features_are_the_pages_in_every_format(export, tmp_path, kind):
    pipeline().ingest(MINUTE, WAVES)
    path = tmp_path / f"out.{kind}"
    export("export_features", SERIES, "--output", path)
    header, rows = table(path.read_bytes(), kind)
    whole = features.read_features(MINUTE).table
    assert header == ["candle_time", *whole.columns]
    found = list(map(list, zip(whole.candle_time, *whole.columns.values(), strict=True)))
    if not kind.needs_arrow:
        found = [["" if value is None else str(value) for value in row] for row in found]
    assert rows == found
    assert len(rows) == len(WAVES)


def test_features_have_the_types_of_their_values(export, tmp_path):
    pipeline().ingest(MINUTE, WAVES)
    names = (
        "pivot_major_direction,pen_confirmed_direction,pen_confirmed_count,sr_snapshot_direction"
    )
    path = tmp_path / "out.parquet"
    export("export_features", SERIES, "--output", path, "--columns", names)
    schema = pyarrow.parquet.read_schema(path)
    assert [(each.name, str(each.type)) for each in schema] == [
        ("candle_time", "int64"),
        ("pivot_major_direction", "string"),
        ("pen_confirmed_direction", "int64"),
        ("pen_confirmed_count", "double"),
        ("sr_snapshot_direction", "double"),
    ]


@pytest.mark.parametrize(
    ("name", "rows"), [("export_events", "events"), ("export_features", "features")]
)
def test_many_series_are_one_file_each(export, tmp_path, name, rows):
    for series in (MINUTE, OTHER):
        pipeline().ingest(series, WAVES[:200])
    _, report = export(name, "--exchange", "binance", "--folder", tmp_path / "new")
    assert report.splitlines()[-1].startswith("2 series, ")
    assert sorted(each.name for each in (tmp_path / "new").iterdir()) == [
        f"binance_futures_BTC-USDT_1m.{rows}.csv",
        f"binance_futures_ETH-USDT_1m.{rows}.csv",
    ]


@pytest.mark.parametrize("name", ["export_events", "export_features"])
def test_series_behind_does_not_keep_others_from_their_files(export, tmp_path, name):
    pipeline().ingest(MINUTE, WAVES[:200])
    Pipeline(candle_store()).ingest(OTHER, WAVES[:200])
    with pytest.raises(CommandError, match="1 of 2 series were not exported"):
        export(name, "--exchange", "binance", "--folder", tmp_path)
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("binance_futures_BTC-USDT_1m.")


REFUSED = {
    "name a series": [],
    "several series need a --folder": [SERIES, str(OTHER)],
    "arrow needs --output": [SERIES, "--format", "arrow"],
    "no candles are stored": [str(OTHER)],
    "ledger_out_of_sync": [SERIES, "--to", WAVES[99].candle_time],
}


@pytest.mark.parametrize("name", ["export_events", "export_features"])
@pytest.mark.parametrize(("message", "arguments"), REFUSED.items(), ids=REFUSED)
def test_command_line_that_can_not_work_is_refused(export, name, message, arguments):
    pipeline().ingest(MINUTE, WAVES[:99])
    Pipeline(candle_store()).ingest(MINUTE, WAVES[99:100])
    with pytest.raises(CommandError, match=message):
        export(name, *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export_events", "--kinds", "pen.confrmed"], "unknown_kind: pen.confrmed"),
        (["export_features", "--columns", "pen"], "unknown_column: pen"),
        (["export_features", "--from", WAVES[-1].candle_time + 60], "no candles are stored"),
    ],
)
def test_names_and_ranges_without_rows_are_refused(export, arguments, message):
    pipeline().ingest(MINUTE, WAVES[:99])
    with pytest.raises(CommandError, match=message):
        export(*arguments, SERIES)


def test_revision_during_the_export_begins_the_file_again(export, tmp_path, monkeypatch):
    pipeline().ingest(MINUTE, WAVES)
    read_page, revisions = events.read_page, [WAVES[10]]

    def small_pages(series, *, limit, **more):
        if more["cursor"] is not None and revisions:
            pipeline().ingest(MINUTE, [revisions.pop()._replace(high=10_000.0)])
        return read_page(series, limit=10, **more)

    monkeypatch.setattr(events, "read_page", small_pages)
    export("export_events", SERIES, "--output", tmp_path / "out.csv")
    assert not revisions
    _, rows = table((tmp_path / "out.csv").read_bytes(), Kind.CSV)
    monkeypatch.undo()
    assert parsed_events(rows) == expected_events()


@pytest.mark.parametrize("output", [None, "out.csv"])
def test_series_that_is_revised_all_the_time_is_refused(export, tmp_path, monkeypatch, output):
    pipeline().ingest(MINUTE, WAVES)
    read_page, prices = events.read_page, iter(range(10_000, 20_000))

    def small_pages(series, *, limit, **more):
        if more["cursor"] is not None:
            pipeline().ingest(MINUTE, [WAVES[10]._replace(high=float(next(prices)))])
        return read_page(series, limit=10, **more)

    monkeypatch.setattr(events, "read_page", small_pages)
    into = [] if output is None else ["--output", tmp_path / output]
    with pytest.raises(CommandError, match="events_changed"):
        export("export_events", SERIES, *into)
    assert list(tmp_path.iterdir()) == []


def test_features_of_two_pasts_are_not_mixed(export, tmp_path, monkeypatch):
    pipeline().ingest(MINUTE, WAVES)
    feature_pages, revisions = export_features.feature_pages, [WAVES[10]]

    def pages(series, *, columns, **more):
        if columns is not None and revisions:
            pipeline().ingest(MINUTE, [revisions.pop()._replace(high=10_000.0)])
        return feature_pages(series, columns=columns, **more)

    monkeypatch.setattr(export_features, "feature_pages", pages)
    export("export_features", SERIES, "--output", tmp_path / "out.csv")
    header, _ = table((tmp_path / "out.csv").read_bytes(), Kind.CSV)
    assert header == ["candle_time", *features.read_features(MINUTE).table.columns]
    assert not revisions
    assert runtime.head_time(MINUTE) == WAVES[-1].candle_time
