from __future__ import annotations

from dataclasses import replace

import pytest
from django.db import connection

from trade_canvas.database import connection_settings, process_role
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
    assert (entry["HOST"], entry["PORT"], entry["NAME"]) == ("db.example", 5433, "candles")
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
