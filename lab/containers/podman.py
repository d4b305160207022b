"""Containers of this machine, through podman, as root."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.program import LabFailed
from lab.waiting import patience, wait_until

HERE = Path(__file__).parent
# The machine's own settings of podman stay as they are.
SETTINGS = {"CONTAINERS_CONF": str(HERE / "containers.conf"), "BUILDAH_ISOLATION": "chroot"}
COMMAND_S = 60.0
INIT = "catatonit"


@dataclass(frozen=True, slots=True)
class Done:
    """A finished command."""

    status: int
    output: str


def run(
    *command: str, environment: Mapping[str, str] | None = None, seconds: float = COMMAND_S
) -> Done:
    """Run a command with podman's settings and return its status and output."""
    done = subprocess.run(
        command,
        env={**os.environ, **SETTINGS, **(environment or {})},
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=patience(seconds),
    )
    # Without systemd, podman complains about that in every other command.
    return Done(done.returncode, done.stdout + (done.stderr if done.returncode else ""))


def podman(
    *arguments: str, environment: Mapping[str, str] | None = None, seconds: float = COMMAND_S
) -> str:
    """Run podman and return its output. Raises LabFailed when it fails."""
    done = run("podman", *arguments, environment=environment, seconds=seconds)
    if done.status:
        raise LabFailed(f"podman {' '.join(arguments[:3])}: {done.output[-2000:]}")
    return done.output


@dataclass(frozen=True, slots=True)
class Container:
    """A container by its name; everything is asked for anew."""

    name: str

    @property
    def facts(self) -> Any:
        """What `podman inspect` shows of it."""
        return json.loads(podman("inspect", self.name))[0]

    @property
    def pid(self) -> int:
        """The first process, as this machine numbers it; 0 when it does not run."""
        return int(self.facts["State"]["Pid"])

    @property
    def is_running(self) -> bool:
        """Whether its first process runs."""
        return bool(self.facts["State"]["Status"] == "running")

    @property
    def address(self) -> str:
        """Its address on the network of the containers."""
        return str(next(iter(self.facts["NetworkSettings"]["Networks"].values()))["IPAddress"])

    @property
    def logs(self) -> str:
        """Everything that it has printed."""
        done = run("sh", "-c", 'podman logs "$0" 2>&1', self.name)
        return done.output

    def execute(self, *command: str, seconds: float = COMMAND_S) -> Done:
        """Run a command in it."""
        return run("podman", "exec", self.name, *command, seconds=seconds)

    def is_healthy(self) -> bool:
        """Run its health check once; without one, running is enough."""
        if not self.is_running:
            return False
        check = self.facts["Config"].get("Healthcheck")
        if not check or check["Test"] == ["NONE"]:
            return True
        return run("podman", "healthcheck", "run", self.name).status == 0

    def processes(self) -> list[int]:
        """The ids of all its processes, as this machine numbers them."""
        group = _memory_group(self.pid)
        return [int(each) for each in (group / "cgroup.procs").read_text().split()]

    def memory_limit(self) -> int:
        """The bytes that the kernel lets it use."""
        group = _memory_group(self.pid)
        files = (group / "memory.max", group / "memory.limit_in_bytes")
        return int(next(each for each in files if each.exists()).read_text())

    def crash(self) -> int:
        """Kill its program as a crash would, and return the first process's id until then."""
        first = self.pid
        name = Path(f"/proc/{first}/comm").read_text().strip()
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        os.kill(int(children[0]) if name == INIT else first, signal.SIGKILL)
        return first

    def wait_healthy(self, seconds: float) -> None:
        """Wait for a passed health check. Raises LabFailed with its output."""
        _wait(self.is_healthy, seconds, f"{self.name} to be healthy", [self])

    def wait_restarted(self, first: int, seconds: float) -> None:
        """Wait until another first process than `first` runs and is healthy."""
        _wait(lambda: self.pid not in (0, first), seconds, f"{self.name} to restart", [self])
        self.wait_healthy(seconds)

    def wait_ended(self, seconds: float) -> int:
        """Wait for its end and return the exit status."""
        _wait(lambda: not self.is_running, seconds, f"{self.name} to end", [self])
        return int(self.facts["State"]["ExitCode"])

    def stop(self, seconds: int) -> tuple[float, int]:
        """Stop it as a deployment does; return how long that took, and the exit status."""
        began = time.monotonic()
        podman("stop", "--time", str(seconds), self.name, seconds=seconds + COMMAND_S)
        return time.monotonic() - began, int(self.facts["State"]["ExitCode"])

    def remove(self) -> None:
        """Kill and delete it with its anonymous volumes."""
        podman("rm", "--force", "--volumes", "--time", "0", self.name)


def containers(label: str) -> list[Container]:
    """Return every container that has this label (name=value), in the order of their names."""
    names = podman("ps", "--all", "--filter", f"label={label}", "--format", "{{.Names}}")
    return [Container(name) for name in sorted(names.split())]


def last_lines(each: Container, lines: int = 25) -> str:
    """Return the end of a container's output under its name."""
    return "\n".join([f"--- {each.name}", *each.logs.splitlines()[-lines:]])


def _wait(condition: Any, seconds: float, what: str, involved: Iterable[Container]) -> None:
    try:
        wait_until(condition, seconds, what)
    except AssertionError as error:
        shown = "\n".join(last_lines(each) for each in involved)
        raise LabFailed(f"{error}\n{shown}") from error


def _memory_group(pid: int) -> Path:
    """Return the folder of a process's memory cgroup, of either version."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return Path(f"/sys/fs/cgroup/memory{path}")
        if number == "0":
            unified = Path(f"/sys/fs/cgroup{path}")
    return unified
