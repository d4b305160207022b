"""The variables of a running installation, so that commands in other terminals join it.

`up` writes its switches to DATA_DIR/environment; `manage.py` takes them as defaults. Variables that
are set win. Addresses of embedded servers are not in it: those are in DATA_DIR/run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from market.files import write_whole
from trade_canvas.switches import PREFIX

BASE_DIR = Path(__file__).resolve().parent.parent
NAMES = ("DEBUG", "DATABASE_URL", "REDIS_URL", "FORCE_SCRIPT_NAME")
# A plain path: no empty segment, no "." or "..", nothing that is written with a percent sign.
PREFIX_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)+")
MAX_PREFIX = 128
# A prefix of these names could not be told from a path without the prefix.
OWN_PATHS = frozenset({"/admin", "/api", "/static", "/udf", "/ws"})
OWN_INSTALLATION = frozenset({"up", "capacity", "containers", "drill"})
"""Commands that start an installation of their own: they ignore what another was started with,
and connect to no database or bus themselves."""


def data_directory(environment: Mapping[str, str]) -> Path:
    """Return DATA_DIR, or its default in the checkout."""
    return Path(environment.get("DATA_DIR") or BASE_DIR / ".data").resolve()


def load(environment: MutableMapping[str, str]) -> None:
    """Add the variables of the installation on DATA_DIR that `environment` does not set."""
    try:
        text = _file(data_directory(environment)).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        # What a power loss left of the file may be zeros.
        if equals and not name.startswith("#") and "\0" not in line:
            environment.setdefault(name, value)


def save(environment: Mapping[str, str]) -> None:
    """Write the variables that concern every process of the installation, for `load`."""
    kept = {
        name: value
        for name, value in environment.items()
        if (name in NAMES or name.startswith(PREFIX)) and "\n" not in value
    }
    path = _file(data_directory(environment))
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["# Written by `manage.py up` at every start; `manage.py` reads it as defaults."]
    text = "\n".join([*lines, *(f"{name}={kept[name]}" for name in sorted(kept)), ""])
    write_whole(path, text, mode=0o600)


def _file(data_dir: Path) -> Path:
    return data_dir / "environment"


def script_name(text: str) -> str | None:
    """The prefix that FORCE_SCRIPT_NAME names, with a slash before it and none behind.

    None when it is not set; "/" is empty, which is the prefix of an installation without one.
    """
    name = text.strip()
    prefix = f"/{name.strip('/')}" if name.strip("/") else ""
    if prefix and not is_prefix(prefix):
        raise SystemExit(f"FORCE_SCRIPT_NAME={text!r}: a path like /canvas is expected")
    return prefix if name else None


def is_prefix(text: str) -> bool:
    """Whether all addresses may begin with it: a plain path such as /canvas."""
    return (
        len(text) <= MAX_PREFIX
        and PREFIX_PATH.fullmatch(text) is not None
        and text not in OWN_PATHS
    )
