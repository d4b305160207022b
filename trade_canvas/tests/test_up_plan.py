from __future__ import annotations

import pytest

from market.domain.series import SeriesId
from market.ingest.pools import POOLS
from trade_canvas.switches import SwitchError
from trade_canvas.up.plan import DEMO_SERIES, PlanError, demo_series, plan

OFF = {"TRADE_CANVAS_ENABLE_PG_STORE": "0", "TRADE_CANVAS_ENABLE_WS_PUBSUB": "0"}


def names(programs):
    return [program.name for program in programs]


def test_plan_starts_everything_by_default(tmp_path):
    made = plan({"DATA_DIR": str(tmp_path)}, exchange_port=9000)
    assert (made.with_postgres, made.with_valkey) == (True, True)
    assert names(made.sources) == ["exchange"]
    assert names(made.programs) == ["web", *(pool.name for pool in POOLS), "beat"]
    assert made.environment["TRADE_CANVAS_SIM_URL"] == "http://127.0.0.1:9000"
    assert made.url == "http://127.0.0.1:8000/"


def test_plan_with_store_and_bus_off_is_one_process_and_the_exchange(tmp_path):
    made = plan({"DATA_DIR": str(tmp_path), **OFF}, exchange_port=9000)
    assert (made.with_postgres, made.with_valkey) == (False, False)
    assert names(made.sources) == ["exchange"]
    assert names(made.programs) == ["web"]
    assert made.switches.whitelist_path == str(tmp_path / "whitelist.json")


@pytest.mark.parametrize(
    ("switch", "postgres", "valkey"),
    [("ENABLE_PG_STORE", False, True), ("ENABLE_WS_PUBSUB", True, False)],
)
def test_plan_with_either_off_ingests_in_the_web_process(tmp_path, switch, postgres, valkey):
    given = {"DATA_DIR": str(tmp_path), f"TRADE_CANVAS_{switch}": "0"}
    made = plan(given, exchange_port=9000)
    assert (made.with_postgres, made.with_valkey) == (postgres, valkey)
    assert names(made.programs) == ["web"]


def test_plan_uses_given_servers(tmp_path):
    given = {"DATA_DIR": str(tmp_path), "DATABASE_URL": "postgres://a/b", "REDIS_URL": "redis://c"}
    made = plan(given, exchange_port=9000)
    assert (made.with_postgres, made.with_valkey) == (False, False)


@pytest.mark.parametrize(
    "given", [{"EXCHANGE": "binance"}, {"TRADE_CANVAS_SIM_URL": "http://elsewhere:1"}]
)
def test_plan_starts_no_local_exchange_when_another_is_set(tmp_path, given):
    made = plan({"DATA_DIR": str(tmp_path), **given}, exchange_port=9000)
    assert made.sources == ()
    assert made.environment.get("TRADE_CANVAS_SIM_URL") != "http://127.0.0.1:9000"


def test_plan_lets_the_environment_win(tmp_path):
    given = {"DATA_DIR": str(tmp_path), "TRADE_CANVAS_ONDEMAND_MAX_JOBS": "3", "DEBUG": "0"}
    made = plan(given, exchange_port=9000)
    assert made.switches.ondemand_max_jobs == 3
    assert made.environment["DEBUG"] == "0"


@pytest.mark.parametrize("port", ["web", "0", "65536", "-1", "80.0"])
def test_plan_refuses_a_bad_port(tmp_path, port):
    with pytest.raises(PlanError, match="PORT"):
        plan({"DATA_DIR": str(tmp_path), "PORT": port}, exchange_port=9000)


def test_plan_refuses_switches_that_contradict_each_other(tmp_path):
    given = {"DATA_DIR": str(tmp_path), "TRADE_CANVAS_ENABLE_PG_ONLY": "1", **OFF}
    with pytest.raises(SwitchError):
        plan(given, exchange_port=9000)


@pytest.mark.parametrize("exchange", [*DEMO_SERIES, "kraken"])
def test_demo_series_are_series_of_the_exchange(exchange):
    assert {SeriesId.parse(text).exchange for text in demo_series(exchange)} == {exchange}
