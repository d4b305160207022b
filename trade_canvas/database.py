"""Settings of database connections: names, timeouts and keep-alives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dj_database_url

from trade_canvas.switches import Switches

APPLICATION = "trade_canvas"

# A connection that broke silently is noticed within a minute, also during a statement.
KEEPALIVE = {
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}


def process_role(arguments: Sequence[str]) -> str:
    """The role of a process with this command line: web, worker, beat, or a command's name."""
    program, *rest = [*arguments, ""]
    words = [each for each in rest if each and not each.startswith("-")]
    for role in ("worker", "beat"):
        if role in words and "manage.py" not in program:
            return role
    return words[0] if "manage.py" in program and words else Path(program).stem or "python"


def connection_settings(url: str, switches: Switches, *, role: str) -> dict[str, Any]:
    """Django's entry for the database at `url`; parameters of the URL take precedence."""
    entry: dict[str, Any] = {
        **dj_database_url.parse(url, conn_max_age=switches.postgres_connection_max_age_s),
        "CONN_HEALTH_CHECKS": True,
        # A server-side cursor outlives its statement; a pooler may use another server by then.
        "DISABLE_SERVER_SIDE_CURSORS": switches.enable_pg_pooler,
    }
    given = entry.get("OPTIONS", {})
    entry["OPTIONS"] = {
        "connect_timeout": max(1, round(switches.postgres_connect_timeout_s)),
        "application_name": f"{APPLICATION} {role}",
        **KEEPALIVE,
        **given,
    }
    if not switches.enable_pg_pooler:
        # Ours come first, so that a -c of the URL takes precedence.
        entry["OPTIONS"]["options"] = f"{_timeouts(switches)} {given.get('options', '')}".strip()
    return entry


def _timeouts(switches: Switches) -> str:
    # Our statements are fast; one that exceeds this must not hold a thread.
    seconds = {
        "statement_timeout": switches.postgres_statement_timeout_s,
        "lock_timeout": switches.postgres_lock_timeout_s,
        "idle_in_transaction_session_timeout": switches.postgres_idle_in_transaction_timeout_s,
    }
    return " ".join(f"-c {name}={round(1000 * value)}" for name, value in seconds.items())
