"""Settings of database connections: names, timeouts and keep-alives."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

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


# The parts of an address as libpq reads it: user and password, then one host or several.
ADDRESS = re.compile(
    r"(?P<scheme>postgres|postgresql|pgsql)://"
    r"(?:(?P<user>[^:@/?#]*)(?::(?P<password>[^/?#]*))?@)?"
    r"(?P<hosts>[^@/?#]*)"
    r"(?P<rest>(?:/[^?#]*)?(?:\?[^#]*)?)"
)
HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\[\]:]*)(?::(?P<port>[0-9]*))?")

FORM = (
    "its form is postgres://user:password@host:port/name?parameters, several hosts are separated"
    " by commas, and characters such as @ / ? # % in a password are percent-encoded"
)


class DatabaseUrlError(ValueError):
    """DATABASE_URL can't be read; the message is for the operator and holds no password."""


def process_role(arguments: Sequence[str]) -> str:
    """The role of a process with this command line: web, worker, beat, or a command's name."""
    program, *rest = [*arguments, ""]
    words = [each for each in rest if each and not each.startswith("-")]
    for role in ("worker", "beat"):
        if role in words and "manage.py" not in program:
            return role
    return words[0] if "manage.py" in program and words else Path(program).stem or "python"


def connection_settings(url: str, switches: Switches, *, role: str) -> dict[str, Any]:
    """Django's entry for the database at `url`; parameters of the URL take precedence.

    Raises DatabaseUrlError.
    """
    entry: dict[str, Any] = {
        **_parsed(url),
        "CONN_MAX_AGE": switches.postgres_connection_max_age_s,
        "CONN_HEALTH_CHECKS": True,
        # A server-side cursor outlives its statement; a pooler may use another server by then.
        "DISABLE_SERVER_SIDE_CURSORS": switches.enable_pg_pooler,
    }
    given = entry.get("OPTIONS", {})
    # libpq tries the hosts one after the other, and the timeout is that of each.
    hosts = str(given.get("host") or entry["HOST"]).count(",") + 1
    entry["OPTIONS"] = {
        "connect_timeout": max(1, round(switches.postgres_connect_timeout_s / hosts)),
        "application_name": f"{APPLICATION} {role}",
        **KEEPALIVE,
        **given,
    }
    if not switches.enable_pg_pooler:
        # Ours come first, so that a -c of the URL takes precedence.
        entry["OPTIONS"]["options"] = f"{_timeouts(switches)} {given.get('options', '')}".strip()
    return entry


def _parsed(url: str) -> dict[str, Any]:
    """Django's entry for an address of libpq's form, which may name several hosts."""
    parts = ADDRESS.fullmatch(url.strip())
    if parts is None:
        raise DatabaseUrlError(f"DATABASE_URL can't be read; {FORM}")
    hosts, ports = [], []
    for each in parts["hosts"].split(","):
        host = HOST.fullmatch(each)
        if host is None or int(host["port"] or 1) not in range(1, 65_536):
            # What looks like a port may be a password with a slash in it, so it is not shown.
            raise DatabaseUrlError("DATABASE_URL names an invalid host or port; " + FORM)
        # A folder of sockets is percent-encoded, and its letters keep their case.
        hosts.append(unquote(host["host"]).strip("[]"))
        ports.append(host["port"] or "")
    if "," in "".join(hosts):
        raise DatabaseUrlError("DATABASE_URL names a host with a comma")
    schema, rest = _without_schema(parts["rest"])
    entry: dict[str, Any] = {
        **dj_database_url.parse(f"postgres://{rest}"),
        "USER": unquote(parts["user"] or ""),
        "PASSWORD": unquote(parts["password"] or ""),
        "HOST": ",".join(hosts),
        "PORT": ",".join(ports) if any(ports) else "",
    }
    options = entry.setdefault("OPTIONS", {})
    # As in libpq, a database without a name is that of the user.
    entry["NAME"] = entry["NAME"] or options.pop("dbname", "") or entry["USER"]
    if schema:
        options["options"] = f"-c search_path={schema} {options.get('options', '')}".strip()
    return entry


def _without_schema(rest: str) -> tuple[str, str]:
    """Take `currentSchema`, which JDBC's addresses have, out of the parameters."""
    path, mark, query = rest.partition("?")
    pairs = [each.partition("=")[::2] for each in query.split("&") if each]
    schema = next((value for name, value in pairs if name == "currentSchema"), "")
    kept = "&".join(f"{name}={value}" for name, value in pairs if name != "currentSchema")
    # A space would end the value of -c.
    return unquote(schema).replace(" ", ""), f"{path}{mark and kept and '?'}{kept}"


def _timeouts(switches: Switches) -> str:
    # Our statements are fast; one that exceeds this must not hold a thread.
    seconds = {
        "statement_timeout": switches.postgres_statement_timeout_s,
        "lock_timeout": switches.postgres_lock_timeout_s,
        "idle_in_transaction_session_timeout": switches.postgres_idle_in_transaction_timeout_s,
    }
    return " ".join(f"-c {name}={round(1000 * value)}" for name, value in seconds.items())
