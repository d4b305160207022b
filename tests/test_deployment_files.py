"""docker/ names only what exists: switches, files, variables, services."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import yaml

from trade_canvas.celery import QUEUES
from trade_canvas.switches import PREFIX, Switches

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text()
COMPOSE_TEXT = (DOCKER / "compose.yaml").read_text()
COMPOSE = yaml.safe_load(COMPOSE_TEXT)
EXAMPLE = dict(re.findall(r"^(\w+)=(.*)$", (DOCKER / ".env.example").read_text(), re.M))
MANIFESTS = {
    (each["kind"], each["metadata"]["name"]): each
    for path in sorted((DOCKER / "kubernetes").glob("*.yaml"))
    for each in yaml.safe_load_all(path.read_text())
    if each["kind"] != "Kustomization"
}
SWITCHES = {PREFIX + each.name.upper() for each in fields(Switches)}
# The tag of the image, not a switch.
FOREIGN = {"TRADE_CANVAS_VERSION"}


def pods():
    for (kind, name), manifest in MANIFESTS.items():
        if kind in {"Deployment", "Job"}:
            yield name, manifest["spec"]["template"]["spec"]


def test_files_name_switches_that_exist():
    files = [path for path in DOCKER.rglob("*") if path.is_file()]
    named = {path: set(re.findall(rf"\b{PREFIX}[A-Z0-9_]+\b", path.read_text())) for path in files}
    assert {path: names - FOREIGN - SWITCHES for path, names in named.items()} == {
        path: set() for path in files
    }
    assert any(named.values())


def test_image_is_made_of_what_the_checkout_has():
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.M)
    sources = {source for line in copied for source in line.split()}
    assert {"manage.py", "market", "frontend", "requirements.lock"} <= sources
    wanted = {
        line[1:]
        for line in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    for source in sources:
        assert (ROOT / source).exists()
        assert source.split("/")[0] in wanted


def test_image_has_all_that_the_processes_import(tmp_path):
    for name in ("manage.py", "trade_canvas", "market", "factors", "overlays"):
        assert re.search(rf"^COPY .*\b{re.escape(name)} ", DOCKERFILE, re.M)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    for folder in tmp_path.rglob("tests"):
        shutil.rmtree(folder)
    # Imports the ASGI application, and with it every view.
    command = [sys.executable, "manage.py", "web", "--help"]
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_image_does_not_run_as_root():
    stage = DOCKERFILE.split("\nFROM ")[-1]
    assert re.findall(r"^USER (.+)$", stage, re.M) == ["10001:10001"]


def test_every_variable_of_compose_is_in_the_example():
    named = set(re.findall(r"\$\{(\w+)", COMPOSE_TEXT)) - FOREIGN
    assert named == set(EXAMPLE)


def test_secrets_have_no_default():
    required = set(re.findall(r"\$\{(\w+):\?\}", COMPOSE_TEXT))
    secrets = {"SECRET_KEY", "POSTGRES_PASSWORD", "VALKEY_PASSWORD", "ADMIN_PASSWORD"}
    assert secrets <= required
    assert {EXAMPLE[name] for name in secrets} == {""}


def test_services_of_compose_depend_on_services():
    services = COMPOSE["services"]
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)


def queues_of(commands):
    """Every queue that some command takes, sorted, with repeats."""
    text = " ".join(part for command in commands for part in command)
    return sorted(",".join(re.findall(r"--queues=(\S+)", text)).split(","))


def test_each_queue_has_one_kind_of_worker_in_compose():
    commands = [each.get("command", []) for each in COMPOSE["services"].values()]
    assert queues_of(commands) == sorted(QUEUES)


def test_each_queue_has_one_kind_of_worker_in_kubernetes():
    commands = [
        container.get("command", []) for _, pod in pods() for container in pod["containers"]
    ]
    assert queues_of(commands) == sorted(QUEUES)


def test_pods_run_unprivileged():
    for name, pod in pods():
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
            assert container["securityContext"]["allowPrivilegeEscalation"] is False, name


def test_kustomization_names_every_manifest():
    folder = DOCKER / "kubernetes"
    named = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    assert sorted([*named, "kustomization.yaml"]) == sorted(path.name for path in folder.iterdir())
