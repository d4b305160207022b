"""docker/ and deploy/ name only what exists: switches, files, variables, services, queues."""

from __future__ import annotations

import copy
import ipaddress
import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands
from django.urls import resolve

from lab.containers.confinement import bytes_of
from market.ingest.pools import POOLS
from trade_canvas import settings as stated
from trade_canvas.edge.serving import PING_INTERVAL_S
from trade_canvas.switches import PREFIX, Switches

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "docker"
DEPLOY = ROOT / "deploy"
UNITS = DEPLOY / "systemd"
BARE_MACHINE = (ROOT / "docs" / "bare-machine.md").read_text()
CATALOG = "locale/zh_Hans/LC_MESSAGES/django.mo"
DOCKERFILE = (DOCKER / "Dockerfile").read_text()
COMPOSE_TEXT = (DOCKER / "compose.yaml").read_text()
COMPOSE = yaml.safe_load(COMPOSE_TEXT)
EXAMPLE = dict(re.findall(r"^(\w+)=(.*)$", (DOCKER / ".env.example").read_text(), re.M))
SECRETS_OF_KUBERNETES = {
    f"trade-canvas{suffix}": dict(
        re.findall(r"^(\w+)=(.*)$", (DOCKER / "kubernetes" / name).read_text(), re.M)
    )
    for suffix, name in {"": "secret.env.example", "-admin": "admin.env.example"}.items()
}
KUBERNETES = kubernetes_validate.latest_version()
POLICY = "default-deny"
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


def limit_of(service):
    """The memory limit of a service of compose, or its default."""
    return re.sub(r"\$\{\w+:-(\w+)\}", r"\1", service["mem_limit"])


def test_files_name_switches_that_exist():
    files = [path for top in (DOCKER, DEPLOY) for path in top.rglob("*") if path.is_file()]
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
    for name in ("manage.py", "trade_canvas", "market", "factors", "overlays", "locale"):
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
    # The admin's templates and the catalog are no modules, and are there all the same.
    page = "market/templates/admin/market/whitelistedseries/paste.html"
    assert all((tmp_path / name).is_file() for name in (page, CATALOG))


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


WORKERS = {pool.name: pool.options for pool in POOLS}


def workers(commands):
    """The options of those commands, by name, that start a worker."""
    return {
        name: tuple(command[command.index("worker") + 1 :])
        for name, command in commands.items()
        if "worker" in command
    }


def test_compose_starts_the_pools():
    services = COMPOSE["services"].items()
    assert workers({name: each.get("command", []) for name, each in services}) == WORKERS


def test_kubernetes_starts_the_pools():
    commands = {
        name: container.get("command", [])
        for name, pod in pods()
        for container in pod["containers"]
    }
    assert workers(commands) == WORKERS


def test_runbook_starts_the_pools():
    lines = re.findall(r"^celery .* worker (.+)$", (ROOT / "docs/runbook.md").read_text(), re.M)
    started = [tuple(line.split()) for line in lines]
    assert started == [(*pool.options, f"--hostname={pool.name}@%h") for pool in POOLS]


@pytest.mark.parametrize("pod", dict(pods()).values(), ids=dict(pods()))
def test_pod_is_confined(pod):
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    for container in [*pod.get("initContainers", ()), *pod["containers"]]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert bytes_of(container["resources"]["limits"]["memory"])
    for volume in pod["volumes"]:
        assert bytes_of(volume["emptyDir"]["sizeLimit"])


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_service_of_compose_is_confined(name):
    service = COMPOSE["services"][name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "caddy" else [])
    assert bytes_of(limit_of(service))


def test_valkey_refuses_writes_before_its_container_is_killed():
    settings = dict(
        line.split(" ", 1)
        for line in (DOCKER / "valkey.conf").read_text().splitlines()
        if line and not line.startswith("#")
    )
    limit = bytes_of(limit_of(COMPOSE["services"]["valkey"]))
    maximum = bytes_of(settings["maxmemory"].removesuffix("b"))
    assert settings["maxmemory-policy"] == "noeviction"
    # The rest is for buffers of clients and fragmentation, which `maxmemory` leaves out.
    assert limit // 2 <= maximum <= limit * 3 // 4


def test_no_argument_carries_a_secret():
    secrets = {name for name, value in EXAMPLE.items() if not value} - {"TRADE_CANVAS_INGEST_TOKEN"}
    secrets |= {name for each in SECRETS_OF_KUBERNETES.values() for name in each}
    assert {"VALKEY_PASSWORD", "DATABASE_URL"} <= secrets
    for name, service in COMPOSE["services"].items():
        parts = [service.get(each) for each in ("command", "entrypoint", "healthcheck")]
        # With two dollar signs a shell in the container reads the variable from its environment.
        inserted = re.findall(r"(?<!\$)\$\{(\w+)", str(parts))
        assert not secrets & set(inserted), name
    for name, pod in pods():
        assert not secrets & set(re.findall(r"\$\((\w+)\)", str(pod))), name


def test_no_command_in_the_docs_takes_a_secret_as_an_argument():
    carries = r"--password|requirepass|--from-literal|\"\$(?:url|DATABASE_URL)\"|redis-cli.* -a "
    files = [*(ROOT / "docs").rglob("*.md"), *DOCKER.rglob("*.yaml"), ROOT / "README.md"]
    # The shell's own `echo` is no process.
    carries = rf"^(?! *echo ).*?(?:{carries})"
    found = {
        str(path.relative_to(ROOT)): lines
        for path in files
        if (lines := [line for line in path.read_text().splitlines() if re.search(carries, line)])
    }
    found.pop("docker/compose.yaml", None)  # By the standard input, as the test above holds.
    # It says why not.
    assert len(found.pop("docker/kubernetes/settings.yaml")) == 1
    assert found == {}


def test_kustomization_names_every_manifest():
    folder = DOCKER / "kubernetes"
    named = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    manifests = sorted(path.name for path in folder.glob("*.yaml"))
    assert sorted([*named, "kustomization.yaml"]) == manifests


@pytest.mark.parametrize(("kind", "name"), MANIFESTS)
def test_manifest_has_the_fields_of_its_schema(kind, name):
    kubernetes_validate.validate(MANIFESTS[kind, name], KUBERNETES, strict=True)


@pytest.mark.parametrize(("kind", "name"), [("Deployment", "web"), ("NetworkPolicy", POLICY)])
def test_misspelt_manifest_is_refused(kind, name):
    manifest = copy.deepcopy(MANIFESTS[kind, name])
    manifest["spec"]["podSelectors"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def test_a_drained_node_leaves_one_pod_of_what_serves_and_follows():
    for name in {name for kind, name in MANIFESTS if kind == "Deployment"}:
        deployment = MANIFESTS["Deployment", name]["spec"]
        if deployment["replicas"] > 1:
            budget = MANIFESTS["PodDisruptionBudget", name]["spec"]
            assert budget == {"maxUnavailable": 1, "selector": deployment["selector"]}


def test_workers_and_beat_wait_for_the_tables_of_their_version():
    # A web pod reports missing migrations in /readyz instead.
    waiting = {name for name, pod in pods() if "initContainers" in pod}
    assert waiting == set(PARTS) - {"web", "migrate"}
    for name in waiting:
        (first,) = dict(pods())[name]["initContainers"]
        assert "manage.py migrate --check" in first["command"][-1]


def test_rollout_waits_until_a_new_pod_can_work():
    for name in {name for kind, name in MANIFESTS if kind == "Deployment"} - {"beat"}:
        spec = MANIFESTS["Deployment", name]["spec"]
        assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        (container,) = spec["template"]["spec"]["containers"]
        assert container["startupProbe"]["failureThreshold"] >= 24, name


# Network policies: who may connect to whom


def selects(selector, labels):
    rules = {
        "In": lambda label, values: label in values,
        "NotIn": lambda label, values: label not in values,
    }
    wanted = selector.get("matchLabels", {})
    return all(labels.get(name) == value for name, value in wanted.items()) and all(
        rules[each["operator"]](labels.get(each["key"]), each["values"])
        for each in selector.get("matchExpressions", ())
    )


def is_peer(peer, other):
    """Whether a rule's peer covers `other`: the name of a namespace, or an address."""
    if block := peer.get("ipBlock"):
        try:
            address = ipaddress.ip_address(other)
        except ValueError:
            return False
        return address in ipaddress.ip_network(block["cidr"]) and not any(
            address in ipaddress.ip_network(each) for each in block.get("except", ())
        )
    return selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": other})


def may(direction, part, other, port):
    """Whether pods of a part may connect to (Egress), or be reached from (Ingress), `other`."""
    labels = {"app": "trade-canvas", "part": part}
    policies = [
        each["spec"]
        for (kind, _), each in MANIFESTS.items()
        if kind == "NetworkPolicy"
        and direction in each["spec"]["policyTypes"]
        and selects(each["spec"]["podSelector"], labels)
    ]
    assert policies, f"nothing restricts {part}"
    peers = {"Egress": "to", "Ingress": "from"}[direction]
    return any(
        port in [each["port"] for each in rule["ports"]]
        and any(is_peer(peer, other) for peer in rule[peers])
        for spec in policies
        for rule in spec.get(direction.lower(), ())
    )


PARTS = [pod_name for pod_name, _ in pods()]
FOLLOWING = [name for name in PARTS if name not in {"beat", "migrate"}]
BINANCE = "13.32.99.1"


@pytest.mark.parametrize("part", PARTS)
def test_every_pod_reaches_what_it_needs(part):
    assert may("Egress", part, "kube-system", 53)
    assert may("Egress", part, "databases", 5432)
    assert may("Egress", part, "databases", 6379)
    assert may("Egress", part, BINANCE, 443) == (part in FOLLOWING)
    assert may("Egress", part, BINANCE, 9443) == (part in FOLLOWING)


@pytest.mark.parametrize("part", PARTS)
def test_no_pod_reaches_what_it_does_not_need(part):
    for private in ("10.0.0.1", "172.20.1.1", "192.168.1.1", "169.254.169.254", "fd00::1"):
        assert not may("Egress", part, private, 443)
    assert not may("Egress", part, "monitoring", 443)
    assert not may("Egress", part, BINANCE, 80)
    assert not may("Egress", part, BINANCE, 5432)


@pytest.mark.parametrize("part", PARTS)
def test_a_pod_is_reached_by_the_proxy_and_prometheus_only(part):
    ports = {"web": 8000}
    assert may("Ingress", part, "ingress-nginx", 8000) == (part == "web")
    assert may("Ingress", part, "monitoring", ports.get(part, 9100)) == (part in FOLLOWING)
    for port in (8000, 9100):
        assert not may("Ingress", part, "default", port)
        assert not may("Ingress", part, BINANCE, port)


def test_policies_open_the_ports_that_containers_listen_on():
    listening = {
        each["containerPort"]
        for _, pod in pods()
        for container in pod["containers"]
        for each in container.get("ports", ())
    }
    assert listening == {8000, 9100}


def test_secrets_of_kubernetes_lack_nothing():
    settings = MANIFESTS["ConfigMap", "trade-canvas"]["data"]
    common, admin = SECRETS_OF_KUBERNETES.values()
    assert {"DATABASE_URL", "REDIS_URL", "SECRET_KEY"} <= set(common)
    assert set(admin) == {"ADMIN_PASSWORD"}
    for examples in (common, admin):
        assert set(examples.values()) == {""}
        assert not set(settings) & set(examples)


@pytest.mark.parametrize("name", PARTS)
def test_only_the_job_gets_the_password_of_the_admin(name):
    (container,) = dict(pods())[name]["containers"]
    sources = [each.get("secretRef", {}).get("name") for each in container["envFrom"]]
    expected = [None, "trade-canvas", *(["trade-canvas-admin"] if name == "migrate" else [])]
    assert sources == expected


def unit_commands():
    """The command of each unit of the installation, by file name."""
    texts = {path.name: path.read_text() for path in UNITS.glob("trade_canvas-*.service")}
    return {name: re.search(r"^ExecStart=(.+)$", text, re.M)[1] for name, text in texts.items()}


def test_units_start_the_pools():
    commands = {
        re.split(r"[-@.]", name)[1]: [
            part for part in command.split() if not part.startswith("--hostname=")
        ]
        for name, command in unit_commands().items()
    }
    assert workers(commands) == WORKERS


def test_units_run_programs_that_exist():
    for name, command in unit_commands().items():
        launcher, program, *arguments = command.split()
        assert launcher == "/opt/trade_canvas/current/deploy/bin/run", name
        if program == "python":
            assert arguments[0] == "manage.py", name
            assert arguments[1] in get_commands(), name
        else:
            assert program == "celery", name


def test_units_have_a_memory_limit():
    for path in UNITS.glob("*.service"):
        assert re.search(r"^MemoryMax=\d+[MG]$", path.read_text(), re.M), path.name


def test_files_of_deploy_lead_to_files_that_exist():
    for path in DEPLOY.rglob("*"):
        if path.is_file():
            for name in re.findall(
                r"/opt/trade_canvas/current/((?:deploy|docs)/\S+?)[\s\"']", path.read_text()
            ):
                assert (ROOT / name).is_file(), f"{path} names {name}"


def test_programs_of_deploy_are_executable():
    assert all(os.access(path, os.X_OK) for path in (DEPLOY / "bin").iterdir())


def test_page_of_the_bare_machine_uses_what_exists():
    for name in re.findall(r"/opt/trade_canvas/current/(deploy/[\w/.-]+)", BARE_MACHINE):
        assert (ROOT / name).exists(), name
    named = set(re.findall(r"\b(trade_canvas-[\w-]+)(@?)", BARE_MACHINE))
    known = {path.name.split(".")[0].split("@")[0] for path in UNITS.glob("trade_canvas-*")}
    assert {name for name, _ in named} == (known - {"trade_canvas-"}) | {"trade_canvas-manage"}


def test_commands_of_the_page_are_shell():
    blocks = re.findall(r"^```sh\n(.*?)^```$", BARE_MACHINE, re.M | re.S)
    assert len(blocks) > 15
    for block in blocks:
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
        assert done.returncode == 0, f"{block}: {done.stderr}"


def test_environment_of_units_has_only_variables_that_are_read():
    text = (DEPLOY / "environment.example").read_text()
    set_here = dict(re.findall(r"^(\w+)=(.*)$", text, re.M))
    page = (ROOT / "docs" / "configuration.md").read_text()
    documented = set(re.findall(r"^\| `(\w+)` \|", page, re.M))
    assert set(set_here) <= documented
    assert set_here["SECRET_KEY"] == set_here["TRADE_CANVAS_METRICS_TOKEN"] == ""


@pytest.mark.parametrize("name", ["nginx/trade_canvas.conf", "caddy/Caddyfile"])
def test_proxies_lead_to_the_web_processes_of_the_page(name):
    text = (DEPLOY / name).read_text()
    ports = set(re.findall(r"127\.0\.0\.1:(\d+)", text))
    assert ports == set(re.findall(r"trade_canvas-web@(\d+)", BARE_MACHINE))
    assert "/opt/trade_canvas/current/staticfiles" in text
    assert stated.STATIC_ROOT == ROOT / "staticfiles"


def test_nginx_has_locations_that_exist():
    text = (DEPLOY / "nginx" / "trade_canvas.conf").read_text()
    locations = dict(re.findall(r"^    location (?:= )?(/\S*) \{\n(.*?)^    \}", text, re.M | re.S))
    assert set(locations) == {
        "/",
        "/ws/",
        "/api/market/history",
        "/api/market/history/",
        "/api/market/top_markets/stream",
        "/metrics",
        "/static/",
    }
    assert resolve("/api/market/top_markets/stream")
    assert resolve("/api/market/history/a-chunk")
    assert settings.STATIC_URL == "/static/"
    for path in ("/ws/", "/api/market/top_markets/stream"):
        assert "proxy_buffering off" in locations[path]
    # A location that sets a header inherits none.
    everywhere = set(re.findall(r"^    proxy_set_header (\S+)", text, re.M))
    assert {"Host", "X-Forwarded-For", "X-Forwarded-Prefix"} <= everywhere
    for content in locations.values():
        assert (
            not (here := set(re.findall(r"proxy_set_header (\S+)", content))) or here >= everywhere
        )
    silent_s = int(re.search(r"proxy_read_timeout (\d+)s", locations["/ws/"])[1])
    assert silent_s > 2 * PING_INTERVAL_S
