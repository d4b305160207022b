from __future__ import annotations

from dataclasses import replace

import pytest
from django.db import connection

from trade_canvas.database import DatabaseUrlError, connection_settings, process_role
from trade_canvas.switches import Switches

URL = "postgres://somebody:secret@db.example:5433/candles"


@pytest.mark.parametrize(
    ("arguments", "role"),
    [
        (["manage.py", "web", "--port", "8000"], "web"),
        (["/srv/manage.py", "import_candles", "file"], "import_candles"),
        (["manage.py"], "manage"),
        (["/bin/celery", "-A", "trade_canvas", "worker", "--pool", "threads"], "worker"),
        (["/lib/celery/__main__.py", "-A", "trade_canvas", "beat"], "beat"),
        (["/bin/pytest", "tests"], "pytest"),
        ([""], "python"),
        ([], "python"),
    ],
)
def test_role_is_read_from_the_command_line(arguments, role):
    assert process_role(arguments) == role


def options(url=URL, **switches):
    return connection_settings(url, Switches(**switches), role="web")["OPTIONS"]


def test_connection_has_name_timeouts_and_keep_alive():
    entry = connection_settings(URL, Switches(postgres_lock_timeout_s=2.5), role="web")
    assert (entry["HOST"], entry["PORT"], entry["NAME"]) == ("db.example", "5433", "candles")
    assert (entry["CONN_MAX_AGE"], entry["CONN_HEALTH_CHECKS"]) == (600, True)
    found = entry["OPTIONS"]
    assert (found["application_name"], found["connect_timeout"]) == ("trade_canvas web", 5)
    assert (found["keepalives"], found["tcp_user_timeout"]) == (1, 60_000)
    assert found["options"] == (
        "-c statement_timeout=60000 -c lock_timeout=2500"
        " -c idle_in_transaction_session_timeout=120000"
    )


def test_parameters_of_the_url_take_precedence():
    url = f"{URL}?application_name=mine&sslmode=require&options=-c%20statement_timeout%3D5"
    found = options(url)
    assert (found["application_name"], found["sslmode"]) == ("mine", "require")
    assert found["options"].endswith(" -c statement_timeout=5")


ALICE = {"USER": "alice", "PASSWORD": "", "HOST": "db", "PORT": "", "NAME": "candles"}


@pytest.mark.parametrize(
    ("url", "facts"),
    [
        ("postgres://alice@db/candles", {}),
        ("postgresql://alice@db", {"NAME": "alice"}),
        ("postgres://alice:p%40s%2Fs%25@db/candles", {"PASSWORD": "p@s/s%"}),
        ("postgres://alice:p@ss@db/candles", {"PASSWORD": "p@ss"}),
        (
            "postgres://alice@db-1:5432,db-2:5433/candles",
            {"HOST": "db-1,db-2", "PORT": "5432,5433"},
        ),
        ("postgres://alice@db-1,db-2:5433/candles", {"HOST": "db-1,db-2", "PORT": ",5433"}),
        (
            "postgres://alice@[::1]:5432,[2001:db8::2]/candles",
            {"HOST": "::1,2001:db8::2", "PORT": "5432,"},
        ),
        ("postgres://alice@%2Frun%2FPg/candles", {"HOST": "/run/Pg"}),
        ("postgres://alice@/candles?host=/run/postgresql", {"HOST": ""}),
        ("postgres://alice@db/?dbname=candles", {}),
        ("postgres://alice@db/can%20dles", {"NAME": "can dles"}),
    ],
)
def test_address_is_read_as_libpq_reads_it(url, facts):
    entry = connection_settings(url, Switches(), role="web")
    assert {name: entry[name] for name in ALICE} == ALICE | facts


@pytest.mark.parametrize(
    "url",
    [
        "mysql://alice:hunter2@db/candles",
        "sqlite:///hunter2",
        "postgres://alice:hunter2#@db/candles",
        "postgres://alice:hun/ter2@db/candles",
        "postgres://alice:hunter2@db:70000/candles",
        "postgres://alice:hunter2@db:0/candles",
        "postgres://alice:hunter2@[::1/candles",
        "alice:hunter2@db/candles",
    ],
)
def test_unreadable_address_is_refused_without_its_password(url):
    with pytest.raises(DatabaseUrlError, match="its form is postgres://") as error:
        connection_settings(url, Switches(), role="web")
    assert "hunter2" not in str(error.value) and "ter2" not in str(error.value)


def test_timeout_is_shared_between_the_hosts():
    assert options("postgres://alice@db-1,db-2/candles")["connect_timeout"] == 2
    assert options("postgres://alice@/candles?host=a,b,c,d,e,f")["connect_timeout"] == 1
    found = options("postgres://alice@db-1,db-2/candles?target_session_attrs=read-write")
    assert found["target_session_attrs"] == "read-write"


@pytest.mark.parametrize(
    ("query", "settings"),
    [
        ("options=-csearch_path%3Dcanvas", "-csearch_path=canvas"),
        ("currentSchema=canvas", "-c search_path=canvas"),
        ("currentSchema=canvas,%20public", "-c search_path=canvas,public"),
        (
            "options=-c%20work_mem%3D8MB&currentSchema=canvas",
            "-c search_path=canvas -c work_mem=8MB",
        ),
    ],
)
def test_schema_is_named_by_search_path(query, settings):
    found = options(f"{URL}?{query}&sslmode=disable")
    assert found["options"].endswith(f" {settings}") and found["sslmode"] == "disable"


def test_pooler_gets_no_unsupported_options():
    assert "options" not in options(enable_pg_pooler=True)
    entry = connection_settings(URL, Switches(enable_pg_pooler=True), role="web")
    assert entry["DISABLE_SERVER_SIDE_CURSORS"]


def shown(name):
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW {name}")
        return cursor.fetchone()[0]


def test_server_accepts_the_options(db):
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    assert [shown(name) for name in names] == ["1min", "20s", "2min"]
    assert shown("application_name").startswith("trade_canvas ")


def test_limit_of_zero_is_no_limit():
    switches = replace(Switches(), postgres_statement_timeout_s=0.0)
    found = connection_settings(URL, switches, role="web")["OPTIONS"]["options"]
    assert "-c statement_timeout=0 " in found
