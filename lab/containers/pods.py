"""The pods of docker/kubernetes as podman runs them: same environment, user, limits and probes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from lab.containers.confinement import Confinement, bytes_of
from lab.containers.podman import Container, podman
from lab.containers.stack import DOMAIN, EXCHANGE_PORT, Stack
from lab.http import send
from lab.program import LabFailed
from lab.waiting import wait_until
from trade_canvas.environment import BASE_DIR
from trade_canvas.switches import PREFIX

FOLDER = BASE_DIR / "docker" / "kubernetes"
HOST_NAME = "charts.example.org"
IMAGE = "trade_canvas:latest"


def manifests() -> Iterator[dict[str, Any]]:
    """Return every object that the folder describes."""
    for path in sorted(FOLDER.glob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text())


@dataclass(frozen=True, slots=True)
class Kind:
    """One deployment or job: how its pods are made."""

    name: str
    replicas: int
    spec: Mapping[str, Any]

    @property
    def container(self) -> Mapping[str, Any]:
        """The only container of its pod."""
        (container,) = self.spec["containers"]
        return container  # type: ignore[no-any-return]

    @property
    def promised(self) -> Confinement:
        """What its security context and limits promise."""
        context = self.container["securityContext"]
        return Confinement(
            memory=self.container["resources"]["limits"]["memory"],
            read_only=context["readOnlyRootFilesystem"],
        )

    @property
    def grace_s(self) -> int:
        """Seconds from the request to end until it is killed."""
        return int(self.spec.get("terminationGracePeriodSeconds", 30))


def kinds() -> dict[str, Kind]:
    """Return every deployment and job by its name."""
    return {
        each["metadata"]["name"]: Kind(
            each["metadata"]["name"],
            each["spec"].get("replicas", 1),
            each["spec"]["template"]["spec"],
        )
        for each in manifests()
        if each["kind"] in {"Deployment", "Job"}
    }


def sources_of(stack: Stack) -> dict[str, dict[str, str]]:
    """Return the config map and the secrets, for the servers and the exchange of `stack`.

    By the kind of a reference in `envFrom` and its name.
    """
    (settings,) = (each["data"] for each in manifests() if each["kind"] == "ConfigMap")
    passwords = stack.secrets
    return {
        "configMapRef trade-canvas": {
            **{name: value.replace(HOST_NAME, DOMAIN) for name, value in settings.items()},
            "EXCHANGE": "sim",
            f"{PREFIX}SIM_URL": f"http://exchange:{EXCHANGE_PORT}",
            f"{PREFIX}ENABLE_TIMESCALE": "0",
        },
        "secretRef trade-canvas": {
            "DATABASE_URL": f"postgres://trade_canvas:{passwords['POSTGRES_PASSWORD']}"
            "@postgres:5432/trade_canvas",
            "REDIS_URL": f"redis://:{passwords['VALKEY_PASSWORD']}@valkey:6379/0",
            **{
                name: passwords[name]
                for name in ("SECRET_KEY", f"{PREFIX}METRICS_TOKEN", f"{PREFIX}INGEST_TOKEN")
            },
        },
        "secretRef trade-canvas-admin": {"ADMIN_PASSWORD": passwords["ADMIN_PASSWORD"]},
    }


@dataclass(frozen=True, slots=True)
class Pod:
    """A running pod."""

    kind: Kind
    container: Container

    def passes(self, probe: str) -> bool:
        """Run a probe of the manifest once, as the kubelet does. Without one it passes."""
        if not self.container.is_running:
            return False
        how = self.kind.container.get(probe)
        if how is None:
            return True
        if "exec" in how:
            done = self.container.execute(*how["exec"]["command"], seconds=how["timeoutSeconds"])
            return done.status == 0
        ports = {each["name"]: each["containerPort"] for each in self.kind.container["ports"]}
        asked = how["httpGet"]
        url = f"http://{self.container.address}:{ports[asked['port']]}{asked['path']}"
        headers = {each["name"]: each["value"] for each in asked["httpHeaders"]}
        return send("GET", url, timeout_s=how["timeoutSeconds"], headers=headers)[0] == 200

    def wait_for(self, probe: str, seconds: float) -> None:
        """Wait until a probe passes. Raises LabFailed."""
        try:
            wait_until(lambda: self.passes(probe), seconds, f"{self.container.name}: {probe}")
        except AssertionError as error:
            raise LabFailed(f"{error}\n{self.container.logs[-3000:]}") from error

    def end(self) -> tuple[float, int]:
        """End it as the kubelet does: the hook first; return the seconds and exit status."""
        hook = self.kind.container.get("lifecycle", {}).get("preStop")
        if hook:
            done = self.container.execute(*hook["exec"]["command"])
            if done.status:
                raise LabFailed(f"{self.container.name}: preStop: {done.output}")
        ended = self.container.stop(self.kind.grace_s)
        return ended


def environment_of(container: Mapping[str, Any], stack: Stack) -> dict[str, str]:
    """Return the variables that the manifest gives to a container."""
    sources = sources_of(stack)
    environment: dict[str, str] = {}
    for each in container["envFrom"]:
        ((kind, reference),) = each.items()
        environment |= sources[f"{kind} {reference['name']}"]
    return environment | {each["name"]: each["value"] for each in container.get("env", ())}


def start_first(kind: Kind, number: int, stack: Stack) -> Container | None:
    """Start the container that has to end before a pod's own is started, if it has one."""
    for container in kind.spec.get("initContainers", ()):
        return _run(kind, container, f"{stack.project}_{kind.name}_first_{number}", stack)
    return None


def start(kind: Kind, number: int, stack: Stack) -> Pod:
    """Start the container of one pod of a kind beside the servers of `stack`."""
    name = f"{stack.project}_{kind.name}_{number}"
    return Pod(kind, _run(kind, kind.container, name, stack))


def _run(kind: Kind, container: Mapping[str, Any], name: str, stack: Stack) -> Container:
    environment = environment_of(container, stack)
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    sizes = {each["name"]: bytes_of(each["emptyDir"]["sizeLimit"]) for each in kind.spec["volumes"]}
    context = {**kind.spec["securityContext"], **container["securityContext"]}
    options = [
        *("--detach", "--name", name, "--hostname", name.replace("_", "-")),
        *("--label", f"io.podman.compose.project={stack.project}"),
        *("--label", f"com.docker.compose.service={kind.name}"),
        *("--network", f"{stack.network}:alias={kind.name}", "--no-healthcheck"),
        *("--user", f"{context['runAsUser']}:{context['runAsGroup']}"),
        *(f"--cap-drop={each}" for each in context["capabilities"]["drop"]),
        f"--memory={bytes_of(container['resources']['limits']['memory'])}",
        *(f"--tmpfs={path}:size={sizes[volume]}" for volume, path in mounts.items()),
        # With the name alone, podman takes the value from its own environment.
        *(f"--env={each}" for each in environment),
    ]
    if context["readOnlyRootFilesystem"]:
        options += ["--read-only", "--read-only-tmpfs=false"]
    if not context["allowPrivilegeEscalation"]:
        options += ["--security-opt=no-new-privileges"]
    command = [expanded(each, environment) for each in container.get("command", ())]
    podman("run", *options, IMAGE, *command, environment=environment)
    return Container(name)


def expanded(argument: str, environment: Mapping[str, str]) -> str:
    """Replace $(NAME) as Kubernetes does in commands: a name that is not known stays."""
    return re.sub(r"\$\((\w+)\)", lambda at: environment.get(at[1], at[0]), argument)
