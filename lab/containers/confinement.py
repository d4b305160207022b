"""What a running container may do, as the kernel enforces it, and what its arguments show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab.containers.podman import Container

NET_BIND_SERVICE = 1 << 10
UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """What a container was promised to be limited to."""

    memory: str
    """The limit as compose (512m) and Kubernetes (512Mi) write it."""
    read_only: bool = True
    capabilities: int = 0
    """The bits of the capabilities that it may have."""
    as_root: bool = False


def bytes_of(amount: str) -> int:
    """Parse an amount of memory such as 512m, 2g, 512Mi or 1Gi."""
    text = amount.lower().removesuffix("i")
    return int(text[:-1]) * UNITS[text[-1]]


def breaches(container: Container, promised: Confinement) -> list[str]:
    """Return every way in which a running container is less confined than promised."""
    found = []
    if container.memory_limit() != bytes_of(promised.memory):
        found.append(f"may use {container.memory_limit()} bytes instead of {promised.memory}")
    if promised.read_only and container.execute("touch", "/written").status == 0:
        found.append("can write to its root file system")
    for pid in container.processes():
        # One that has ended meanwhile has no status.
        with suppress(FileNotFoundError, ProcessLookupError):
            found += breaches_of_process(_status(pid), promised)
    return [f"{container.name}: {each}" for each in found]


def shown_secrets(containers: Iterable[Container], secrets: Mapping[str, str]) -> list[str]:
    """Return where a secret's value can be read from arguments, of processes or of commands.

    Health checks and ended containers count too: what was to be run is looked at as well as what
    runs.
    """
    found = []
    for container in containers:
        facts = container.facts["Config"]
        texts = {"command": str([facts["Cmd"], facts["Entrypoint"], facts.get("Healthcheck")])}
        if container.is_running:
            texts |= {str(pid): _arguments(pid) for pid in container.processes()}
        found += [
            f"{container.name}: {where} shows {name}"
            for where, text in texts.items()
            for name, value in secrets.items()
            if value in text
        ]
    return found


def breaches_of_process(status: Mapping[str, str], promised: Confinement) -> list[str]:
    """Return what a process with this status (of /proc) may do beyond what was promised."""
    rules = {
        f"can get the capabilities {status['CapBnd']}": int(status["CapBnd"], 16)
        & ~promised.capabilities,
        "can gain privileges": status["NoNewPrivs"] != "1",
        "may make every system call": status["Seccomp"] != "2",
        "runs as root": "0" in status["Uid"].split() and not promised.as_root,
    }
    return [f"{status['Name']} {text}" for text, is_broken in rules.items() if is_broken]


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    pairs = (line.split(":", 1) for line in lines)
    return {name: value.strip() for name, value in pairs}


def _arguments(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
