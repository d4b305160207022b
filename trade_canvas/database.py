"""How every process of ours connects to PostgreSQL: named, bounded in time, and told of its end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dj_database_url

from trade_canvas.switches import Switches

APPLICATION = "trade_canvas"

# A server that went away without a word is noticed within a minute, also by who waits for it.
KEEPALIVE = {
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}


def process_role(arguments: Sequence[str]) -> str:
    """What a process with this command line is: web, worker, beat, or the command's name."""
    program, *rest = [*arguments, ""]
    words = [each for each in rest if each and not each.startswith("-")]
    for role in ("worker", "beat"):
        if role in words and "manage.py" not in program:
            return role
    return words[0] if "manage.py" in program and words else Path(program).stem or "python"


def connection_settings(url: str, switches: Switches, *, role: str) -> dict[str, Any]:
    """Django's entry for the database at `url`; what the address itself says wins."""
    entry: dict[str, Any] = {
        **dj_database_url.parse(url, conn_max_age=switches.postgres_connection_max_age_s),
        "CONN_HEALTH_CHECKS": True,
        # Such a cursor outlives its statement, and a pooler may give the next to another server.
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
        # First ours, so that a -c of the address wins.
        entry["OPTIONS"]["options"] = f"{_timeouts(switches)} {given.get('options', '')}".strip()
    return entry


def _timeouts(switches: Switches) -> str:
    # No statement of ours is slow: a longer one means trouble and must not hold a thread.
    seconds = {
        "statement_timeout": switches.postgres_statement_timeout_s,
        "lock_timeout": switches.postgres_lock_timeout_s,
        "idle_in_transaction_session_timeout": switches.postgres_idle_in_transaction_timeout_s,
    }
    return " ".join(f"-c {name}={round(1000 * value)}" for name, value in seconds.items())
