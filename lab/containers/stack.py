"""The services of docker/compose.yaml, started by podman-compose as compose would start them.

podman-compose creates the containers. What needs a newer podman or systemd is done here: a service
waits for the conditions of its `depends_on`, and health checks are run from outside.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lab.containers.podman import Container, Done, containers, podman, run
from lab.exchange import true_candles
from lab.program import LabFailed
from trade_canvas.embedded.server import free_port
from trade_canvas.environment import BASE_DIR
from trade_canvas.switches import PREFIX

COMPOSE_FILE = BASE_DIR / "docker" / "compose.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text())
IMAGE = "trade_canvas:latest"
EXCHANGE_PORT = 8900
UP_S = 60.0
HEALTHY_S = 60.0
DOWN_S = 60.0
DOMAIN = "localhost"
# Has no package of Debian.
LEFT_OUT = {"grafana"}


def is_program(service: Mapping[str, Any]) -> bool:
    """Whether a service runs an image of ours."""
    return str(service["image"]).startswith("trade_canvas:")


class Stack:
    """One project of compose; a context manager that takes everything down."""

    def __init__(self, project: str, folder: Path) -> None:
        self.project = project
        self.folder = folder
        self.logs = folder
        self.https_port, self.exchange_port = free_port(), free_port()
        self.secrets = {
            name: secrets.token_urlsafe(24)
            for name in (
                "SECRET_KEY",
                "POSTGRES_PASSWORD",
                "VALKEY_PASSWORD",
                "ADMIN_PASSWORD",
                "GRAFANA_PASSWORD",
                f"{PREFIX}METRICS_TOKEN",
                f"{PREFIX}INGEST_TOKEN",
            )
        }
        self.secrets["SECRET_KEY"] += secrets.token_urlsafe(48)
        self.variables = {**self.secrets, "DOMAIN": DOMAIN, "EXCHANGE": "sim"}
        self.series: tuple[str, ...] = ()
        """Series whose candles are compared with the exchange's."""
        self._override = folder / "override.yaml"

    def __enter__(self) -> Stack:
        self.down()
        (self.folder / "metrics_token").write_text(self.secrets[f"{PREFIX}METRICS_TOKEN"])
        (self.folder / "metrics_token").chmod(0o444)
        self._override.write_text(self.changes())
        return self

    def __exit__(self, *_: object) -> None:
        for each in self.containers():
            (self.logs / f"{each.name}.log").write_text(each.logs)
        self.down()

    # Starting and ending

    def start(self, *services: str) -> None:
        """Start services, each after what it depends on. Raises LabFailed."""
        for name in services:
            for other, how in COMPOSE["services"].get(name, {}).get("depends_on", {}).items():
                self._meet(other, how["condition"])
            self.start_alone(name)

    def start_alone(self, service: str) -> None:
        """Start a service, whatever it depends on."""
        self.compose("up", "--detach", "--no-deps", "--no-recreate", service, seconds=UP_S)

    def wait_healthy(self, *services: str) -> None:
        """Wait until every container of these services passes its health check."""
        for name in services:
            for each in self.containers(name):
                each.wait_healthy(HEALTHY_S)

    def down(self) -> None:
        """End and delete the project's containers, volumes and network."""
        for each in self.containers():
            each.remove()
        for kind in ("volume", "network"):
            label = f"label=io.podman.compose.project={self.project}"
            for name in podman(kind, "ls", "--quiet", "--filter", label).split():
                podman(kind, "rm", "--force", name)

    def compose(self, *arguments: str, seconds: float) -> Done:
        """Run podman-compose on the project's file and this test's changes to it."""
        files = ("--file", str(COMPOSE_FILE), "--file", str(self._override))
        program = shutil.which("podman-compose", path=str(Path(sys.executable).parent))
        if program is None:
            raise LabFailed("podman-compose is missing: make .venv with requirements-dev.lock")
        command = (program, *files, "--project-name", self.project, *arguments)
        done = run(*command, environment=self.variables, seconds=seconds)
        if done.status:
            raise LabFailed(f"podman-compose {' '.join(arguments)}: {done.output[-3000:]}")
        return done

    def _meet(self, service: str, condition: str) -> None:
        found = self.containers(service)
        if not found:
            raise LabFailed(f"{service} was not started")
        for each in found:
            if condition == "service_completed_successfully":
                if status := each.wait_ended(HEALTHY_S):
                    raise LabFailed(f"{each.name} ended with {status}: {each.logs[-2000:]}")
            elif condition == "service_healthy":
                each.wait_healthy(HEALTHY_S)

    def changes(self) -> str:
        """Return the changes of this test: a local exchange, no TimescaleDB, another port."""
        exchange = {
            "image": IMAGE,
            "init": True,
            "command": f"python manage.py local_exchange --host 0.0.0.0 --port {EXCHANGE_PORT}",
            "ports": [f"127.0.0.1:{self.exchange_port}:{EXCHANGE_PORT}"],
        }
        environment = {
            f"{PREFIX}SIM_URL": f"http://exchange:{EXCHANGE_PORT}",
            f"{PREFIX}ENABLE_TIMESCALE": "0",
        }
        services: dict[str, Any] = {
            name: {"environment": environment}
            for name, service in COMPOSE["services"].items()
            if is_program(service)
        }
        services["exchange"] = exchange
        services["caddy"] = {"ports": Override([f"127.0.0.1:{self.https_port}:443"])}
        services["prometheus"] = {"ports": Override([])}
        token = Override({"file": str(self.folder / "metrics_token")})
        changes = {"services": services, "secrets": {"metrics_token": token}}
        return str(yaml.dump(changes))

    # What runs

    def containers(self, service: str = "") -> list[Container]:
        """Return the containers of a service, or all."""
        found = containers(f"io.podman.compose.project={self.project}")
        label = "com.docker.compose.service"
        return [
            each
            for each in found
            if not service or each.facts["Config"]["Labels"].get(label) == service
        ]

    @property
    def network(self) -> str:
        """The network that all containers of the project are on."""
        return str(next(iter(self.containers()[0].facts["NetworkSettings"]["Networks"])))

    @property
    def url(self) -> str:
        """The address of the proxy."""
        return f"https://{DOMAIN}:{self.https_port}"

    def trust(self) -> Path:
        """Return a file with the root of the certificates that Caddy made for itself."""
        path = self.folder / "root.crt"
        source = "/data/caddy/pki/authorities/local/root.crt"
        podman("cp", f"{self.containers('caddy')[0].name}:{source}", str(path))
        return path

    # What a comparison of watchers needs

    def sql(self, query: str) -> list[list[str]]:
        """Run a query in the database's container and return its rows as text."""
        container = self.containers("postgres")[0]
        done = container.execute(
            *("psql", "--username=trade_canvas", "--no-align", "--tuples-only"), "--command", query
        )
        if done.status:
            raise LabFailed(f"psql: {done.output}")
        return [line.split("|") for line in done.output.splitlines() if line]

    def heads(self) -> dict[str, int]:
        """Return the open time of the newest stored candle of every series that has one."""
        rows = self.sql("SELECT name, head_time FROM series WHERE head_time IS NOT NULL")
        return {name: int(head) for name, head in rows}

    def stored(self, series: str, first: int, last: int) -> list[dict[str, Any]]:
        """Return the stored candles between two open times, inclusive."""
        rows = self.sql(
            "SELECT row_to_json(c) FROM (SELECT candle_time, open, high, low, close, volume"
            f" FROM candles JOIN series ON series.id = series_id WHERE name = '{series}'"
            f" AND candle_time BETWEEN {first} AND {last} ORDER BY candle_time) c"
        )
        return [json.loads("|".join(row)) for row in rows]

    def truth(self, series: str, first: int, last: int) -> list[dict[str, Any]]:
        """Return the exchange's closed candles between two open times, inclusive."""
        return true_candles(f"http://127.0.0.1:{self.exchange_port}", series, first, last)


class Override:
    """A value that replaces the one of the project's file instead of being added to it."""

    def __init__(self, value: Sequence[str] | Mapping[str, str]) -> None:
        self.value = value


def _represent(dumper: yaml.Dumper, data: Override) -> yaml.Node:
    node = dumper.represent_data(data.value)
    node.tag = "!override"
    return node


yaml.add_representer(Override, _represent)
