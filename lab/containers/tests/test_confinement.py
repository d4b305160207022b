"""A container that is less confined than promised is noticed, and so is a secret in arguments."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import pytest

from lab.containers.confinement import (
    NET_BIND_SERVICE,
    Confinement,
    breaches_of_process,
    bytes_of,
    shown_secrets,
)
from lab.waiting import wait_until

CONFINED = {
    "Name": "python",
    "CapBnd": "0000000000000000",
    "NoNewPrivs": "1",
    "Seccomp": "2",
    "Uid": "10001\t10001\t10001\t10001",
}
PROMISED = Confinement(memory="1g")


@pytest.mark.parametrize(
    ("amount", "count"), [("512m", 536870912), ("512Mi", 536870912), ("2g", 2147483648)]
)
def test_amounts_of_compose_and_kubernetes(amount, count):
    assert bytes_of(amount) == count


def test_confined_process_breaches_nothing():
    assert breaches_of_process(CONFINED, PROMISED) == []


@pytest.mark.parametrize(
    "weakness",
    [{"CapBnd": "0000000000000400"}, {"NoNewPrivs": "0"}, {"Seccomp": "0"}, {"Uid": "10001\t0\t0"}],
)
def test_each_weakness_is_a_breach(weakness):
    (breach,) = breaches_of_process({**CONFINED, **weakness}, PROMISED)
    assert breach.startswith("python ")


def test_capability_that_was_promised_is_none():
    promised = Confinement(memory="1g", capabilities=NET_BIND_SERVICE)
    assert breaches_of_process({**CONFINED, "CapBnd": "0000000000000400"}, promised) == []
    assert breaches_of_process({**CONFINED, "CapBnd": "0000000000000401"}, promised)


@dataclass
class Fake:
    """Stands in for a container of one process."""

    pid: int
    command: str = "sleep"
    name: str = "one"
    is_running: bool = True

    @property
    def facts(self):
        return {"Config": {"Cmd": [self.command], "Entrypoint": None}}

    def processes(self):
        return [self.pid]


def test_secret_is_found_in_arguments_of_processes_and_commands():
    secret = "s3cret-value"
    script = "import sys; sys.stdin.read()"
    command = [sys.executable, "-c", script, f"--password={secret}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        shown = wait_until(lambda: shown_secrets([Fake(process.pid)], {"PASSWORD": secret}))
        process.communicate()
    assert shown == [f"one: {process.pid} shows PASSWORD"]
    planned = Fake(process.pid, command=f"serve {secret}", is_running=False)
    assert shown_secrets([planned], {"PASSWORD": secret}) == ["one: command shows PASSWORD"]
    assert shown_secrets([planned], {"PASSWORD": "another"}) == []
