from __future__ import annotations

from dataclasses import fields

import pytest

from trade_canvas.switches import SwitchError, Switches, refuse_unused

# On by the contract: candles drive factors and drawings, and what is stored can be replayed. The
# throttle of log-ins is turned off only to admit an administrator who is locked out.
DRIVEN = {
    "enable_factor_ingest",
    "enable_factor_fingerprint_rebuild",
    "enable_overlay_ingest",
    "enable_replay_v1",
    "enable_replay_ensure_coverage",
    "enable_log_in_throttle",
}

# Risky features are off by default.
BOOLEANS = {each.name for each in fields(Switches) if isinstance(each.default, bool)}
NUMBERS = [each for each in fields(Switches) if each.metadata]


def test_every_other_switch_is_off_by_default():
    switches = Switches.from_environment({})
    assert {name for name in BOOLEANS if getattr(switches, name)} == DRIVEN


def test_switches_are_on_until_turned_off():
    off = {f"TRADE_CANVAS_{name.upper()}": "0" for name in DRIVEN}
    switches = Switches.from_environment(off)
    assert not any(getattr(switches, name) for name in BOOLEANS)


@pytest.mark.parametrize("word", ["1", "true", "yes", "on", "TRUE", " On "])
def test_switch_is_turned_on_by(word):
    environment = {"TRADE_CANVAS_ENABLE_DEBUG_API": word}
    assert Switches.from_environment(environment).enable_debug_api


@pytest.mark.parametrize("word", ["0", "", "no", "enabled", "2"])
def test_switch_is_not_turned_on_by(word):
    environment = {"TRADE_CANVAS_ENABLE_DEBUG_API": word}
    assert not Switches.from_environment(environment).enable_debug_api


@pytest.mark.parametrize("text", ["", "many", "1.5", "nan", "0x10"])
def test_whole_number_that_can_not_be_read_is_the_default(text):
    environment = {"TRADE_CANVAS_LEASE_TTL_S": text}
    assert Switches.from_environment(environment).lease_ttl_s == 15


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "soon"])
def test_number_that_can_not_be_read_is_the_default(text):
    environment = {"TRADE_CANVAS_RECONCILE_INTERVAL_S": text}
    assert Switches.from_environment(environment).reconcile_interval_s == 2.0


def test_numbers_below_their_minimum_are_raised_to_it():
    low = {f"TRADE_CANVAS_{each.name.upper()}": "-1" for each in NUMBERS}
    switches = Switches.from_environment(low)
    minimums = {each.name: each.metadata["minimum"] for each in NUMBERS}
    assert {name: getattr(switches, name) for name in minimums} == minimums


def test_number_is_read():
    environment = {"TRADE_CANVAS_ONDEMAND_MAX_JOBS": "8", "TRADE_CANVAS_BINANCE_WS_FLUSH_S": "0.25"}
    switches = Switches.from_environment(environment)
    assert (switches.ondemand_max_jobs, switches.binance_ws_flush_s) == (8, 0.25)


@pytest.mark.parametrize(
    ("jobs", "given", "expected"), [(50, 0, 25), (1, 0, 1), (50, 7, 7), (0, 0, 0), (0, 7, 7)]
)
def test_one_address_may_have_half_of_all_on_demand_series(jobs, given, expected):
    switches = Switches(ondemand_max_jobs=jobs, ondemand_max_series_per_address=given)
    assert switches.ondemand_series_an_address == expected


def test_unknown_ingest_role_is_hybrid():
    environment = {"TRADE_CANVAS_INGEST_ROLE": "writer"}
    assert Switches.from_environment(environment).ingest_role == "hybrid"


def test_pg_only_without_pg_store_is_refused():
    with pytest.raises(SwitchError, match="^pg_store_required_when_pg_only_enabled$"):
        Switches.from_environment({"TRADE_CANVAS_ENABLE_PG_ONLY": "1"})


def test_alerts_without_a_store_and_networks_that_are_none_are_refused():
    with pytest.raises(SwitchError, match="^pg_store_required_when_alerts_enabled$"):
        Switches.from_environment({"TRADE_CANVAS_ENABLE_ALERTS": "1"})
    with pytest.raises(SwitchError, match="^alerts_networks_invalid: '10.0.0.0/99'"):
        Switches.from_environment({"TRADE_CANVAS_ALERTS_NETWORKS": "10.0.0.0/8, 10.0.0.0/99"})


ADDRESSES = [
    ("DATABASE_URL", "TRADE_CANVAS_ENABLE_PG_STORE"),
    ("REDIS_URL", "TRADE_CANVAS_ENABLE_WS_PUBSUB"),
]


@pytest.mark.parametrize(("address", "switch"), ADDRESSES)
def test_an_address_without_an_answer_to_its_switch_is_refused(address, switch):
    code = f"^{switch.removeprefix('TRADE_CANVAS_').lower()}_required_by_{address.lower()}: "
    with pytest.raises(SwitchError, match=code):
        refuse_unused({address: "somewhere"})
    with pytest.raises(SwitchError, match=code):
        refuse_unused({address: "somewhere", switch: ""})


@pytest.mark.parametrize(("address", "switch"), ADDRESSES)
@pytest.mark.parametrize("answer", ["0", "1", "off"])
def test_an_address_with_an_answer_to_its_switch_is_accepted(address, switch, answer):
    refuse_unused({address: "somewhere", switch: answer})
    refuse_unused({address: ""})


@pytest.mark.parametrize(
    ("store", "bus", "in_process"),
    [("0", "0", True), ("1", "0", True), ("0", "1", True), ("1", "1", False)],
)
def test_ingest_is_in_process_unless_store_and_bus_are_shared(store, bus, in_process):
    environment = {"TRADE_CANVAS_ENABLE_PG_STORE": store, "TRADE_CANVAS_ENABLE_WS_PUBSUB": bus}
    assert Switches.from_environment(environment).ingest_in_process is in_process


@pytest.mark.parametrize(
    ("guard", "role", "enabled"),
    [("0", "read", True), ("1", "read", False), ("1", "ingest", True), ("1", "hybrid", True)],
)
def test_guarded_read_instance_may_not_start_ingest_jobs(guard, role, enabled):
    environment = {
        "TRADE_CANVAS_ENABLE_INGEST_ROLE_GUARD": guard,
        "TRADE_CANVAS_INGEST_ROLE": role,
    }
    assert Switches.from_environment(environment).ingest_jobs_enabled is enabled


@pytest.mark.parametrize(
    "environment",
    [
        {"TRADE_CANVAS_RETENTION": "1m=2 years"},
        {"TRADE_CANVAS_RETENTION": "1m=1d"},
        {"TRADE_CANVAS_RETENTION": "1m=3d", "TRADE_CANVAS_OVERLAY_WINDOW_CANDLES": "5000"},
        {
            "TRADE_CANVAS_RETENTION": "1m=3d",
            "TRADE_CANVAS_ENABLE_STARTUP_KLINE_SYNC": "1",
            "TRADE_CANVAS_STARTUP_KLINE_SYNC_TARGET_CANDLES": "5000",
        },
        {
            "TRADE_CANVAS_RETENTION": "1m=13d",
            "TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES": "1",
            "TRADE_CANVAS_DERIVED_TIMEFRAMES": "5m,1w",
        },
    ],
)
def test_retention_that_would_remove_too_much_is_refused(environment):
    with pytest.raises(SwitchError, match="^retention_invalid: TRADE_CANVAS_RETENTION: "):
        Switches.from_environment(environment)


def test_retention_is_off_by_default():
    assert Switches().retention == "" and not Switches().enable_retention
    given = {"TRADE_CANVAS_RETENTION": "1s=7d,1m=2y"}
    assert Switches.from_environment(given).retention == "1s=7d,1m=2y"
