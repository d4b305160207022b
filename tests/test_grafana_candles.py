"""The dashboard of candles asks for what is there, as an account that reads nothing else."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from django.db import DatabaseError, connection, transaction

from market import runtime
from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.models import GapRecord, Series

GRAFANA = Path(__file__).parents[1] / "docker" / "grafana"
BOARD = json.loads((GRAFANA / "candles.json").read_text())
READER = (GRAFANA / "reader.sql").read_text()
SOURCE = yaml.safe_load((GRAFANA / "postgresql.yaml").read_text())["datasources"][0]
PANELS = {each["type"]: each for each in BOARD["panels"]}
ROLE = "trade_canvas_reader"
# An apostrophe: Grafana's `sqlstring` doubles it.
NAME = "it's:spot:BTC/USDT:1m"
FROM, TO = 600, 1200

pytestmark = pytest.mark.django_db


@pytest.fixture
def as_reader():
    """Run statements as the account of reader.sql, which the test's transaction takes back."""
    with connection.cursor() as cursor:
        cursor.execute(READER)

    def run(statement):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL ROLE {ROLE}")
            cursor.execute(statement)
            columns = [each.name for each in cursor.description or ()]
            rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
            cursor.execute("RESET ROLE")
            return rows

    return run


def filled(panel):
    """The statement of a panel as Grafana sends it."""
    (target,) = panel["targets"]
    statement = target["rawSql"]
    values = {
        "${series:sqlstring}": "'" + NAME.replace("'", "''") + "'",
        "$__unixEpochFrom()": str(FROM),
        "$__unixEpochTo()": str(TO),
    }
    for name, value in values.items():
        statement = statement.replace(name, value)
    assert not re.search(r"\$", statement), statement
    return statement


def store(*times):
    series = SeriesId.parse(NAME)
    runtime.pipeline().ingest(series, [Candle(each, 1.0, 3.0, 0.5, 2.0, 9.0) for each in times])


def test_candles_of_the_range_are_what_the_panel_draws(as_reader):
    store(*range(60, 2000, 60))
    rows = as_reader(filled(PANELS["candlestick"]))
    fields = PANELS["candlestick"]["options"]["fields"]
    assert set(rows[0]) == {"time", *fields.values()} and list(fields) == list(fields.values())
    assert [row["time"] for row in rows] == [
        datetime.fromtimestamp(each, UTC) for each in range(FROM, TO + 1, 60)
    ]
    assert [rows[0][name] for name in fields] == [1.0, 3.0, 0.5, 2.0, 9.0]


def test_candles_are_the_newest_of_many(as_reader):
    store(*range(60, 2000, 60))
    few = filled(PANELS["candlestick"]).replace("LIMIT 5000", "LIMIT 2")
    assert [row["time"].timestamp() for row in as_reader(few)] == [TO - 60, TO]


def test_age_and_gaps_are_of_the_series(as_reader):
    store(60, 600)
    series = Series.objects.get(name=NAME)
    GapRecord.objects.create(series=series, from_time=120, to_time=720, missing="quiet")
    ((age,),) = [row.values() for row in as_reader(filled(PANELS["stat"]))]
    assert age > 10**9
    (gap,) = as_reader(filled(PANELS["table"]))
    assert (gap["from"].timestamp(), gap["to"].timestamp(), gap["why"]) == (120, 720, "quiet")


def test_variable_names_the_series_with_candles(as_reader):
    store(60)
    Series.objects.create(name="sim:spot:EMPTY/USDT:1m")
    (variable,) = [each for each in BOARD["templating"]["list"] if each["type"] == "query"]
    assert {row["name"] for row in as_reader(variable["query"])} == {NAME}


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM auth_user",
        "SELECT * FROM whitelist",
        "DELETE FROM candles RETURNING 1",
        "UPDATE series SET epoch = 0 RETURNING 1",
    ],
)
def test_reader_may_do_nothing_else(as_reader, statement):
    with pytest.raises(DatabaseError, match="permission denied"):
        as_reader(statement)


def test_every_panel_asks_the_chosen_source():
    source = {"type": SOURCE["type"], "uid": "${datasource}"}
    for panel in BOARD["panels"]:
        assert panel["datasource"] == source
        assert all(each["datasource"] == source for each in panel["targets"])
        assert all(each["format"] == "table" and each["rawQuery"] for each in panel["targets"])
    assert (SOURCE["user"], [each["id"] for each in BOARD["panels"]]) == (ROLE, [1, 2, 3])
