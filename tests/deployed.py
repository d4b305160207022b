"""What docker/ gives its containers: the environment and the command of each."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import yaml

DOCKER = Path(__file__).parents[1] / "docker"
TIMESCALE = "TRADE_CANVAS_ENABLE_TIMESCALE"
# Secrets of a test's installation; the files have none.
FILLED_IN = {
    "DOMAIN": "localhost",
    "SECRET_KEY": "of-a-test-and-nothing-else-0123456789-abcdefghij",
    "POSTGRES_PASSWORD": "unused",
    "VALKEY_PASSWORD": "unused",
    "ADMIN_PASSWORD": "unused",
    "GRAFANA_PASSWORD": "unused",
    "TRADE_CANVAS_METRICS_TOKEN": "of-a-test",
}
# The addresses are those of the test's own servers; it asks over plain http, without a proxy.
OF_THE_TEST = {
    "DATABASE_URL",
    "REDIS_URL",
    "TRADE_CANVAS_METRICS_HOST",
    "TRADE_CANVAS_METRICS_PORT",
}


def compose_environment(service: str) -> dict[str, str]:
    """The environment of a service of docker/compose.yaml, variables filled in."""
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    example = (DOCKER / ".env.example").read_text()
    values = {**dict(re.findall(r"^(\w+)=(.*)$", example, re.M)), **FILLED_IN}
    written = services[service]["environment"]
    return {name: _filled(str(text), values) for name, text in written.items()}


def compose_command(service: str) -> list[str]:
    """The command of a service of docker/compose.yaml."""
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    return [str(part) for part in services[service]["command"]]


def kubernetes_environment(deployment: str) -> dict[str, str]:
    """The environment of a deployment's container in docker/kubernetes, without its secrets."""
    manifests = [
        each
        for path in sorted((DOCKER / "kubernetes").glob("*.yaml"))
        for each in yaml.safe_load_all(path.read_text())
        if each
    ]
    [shared] = [each["data"] for each in manifests if each["kind"] == "ConfigMap"]
    [pod] = [
        each["spec"]["template"]["spec"]
        for each in manifests
        if each["kind"] == "Deployment" and each["metadata"]["name"] == deployment
    ]
    own: list[dict[str, Any]] = pod["containers"][0].get("env", [])
    return {**shared, **{each["name"]: each["value"] for each in own if "value" in each}}


def runnable(environment: dict[str, str]) -> dict[str, str]:
    """The same for processes of a test: on its servers, over plain http, without TimescaleDB."""
    kept = {name: text for name, text in environment.items() if name not in OF_THE_TEST}
    kept["TRADE_CANVAS_ENABLE_HTTPS"] = "0"
    kept[TIMESCALE] = os.environ.get(TIMESCALE, "0")
    return kept


def _filled(text: str, values: dict[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        return values.get(found["name"]) or (found["default"] or "")

    return re.sub(r"\$\{(?P<name>\w+)(?::-(?P<default>[^}]*)|:\?[^}]*)?\}", value, text)
