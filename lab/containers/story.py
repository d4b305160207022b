"""What `make containers` does with compose's services and with Kubernetes' pods, step by step."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from lab.client import Order
from lab.containers import pods
from lab.containers.confinement import NET_BIND_SERVICE, Confinement, breaches, shown_secrets
from lab.containers.podman import HERE, Container, run
from lab.containers.stack import COMPOSE, IMAGE, LEFT_OUT, Stack, is_program
from lab.crowd import Crowd
from lab.drills.ground import watched
from lab.drills.outcome import Outcome
from lab.http import get
from lab.program import LabFailed
from lab.waiting import wait_until
from trade_canvas.environment import BASE_DIR

BUILD_S = 600.0
READY_S = 60.0
RECOVERY_S = 60.0
JOB_S = 60.0
WATCHERS = 24
FOLLOWED = "sim:futures:BTC/USDT:1s"
ON_DEMAND = "sim:spot:ETH/USDT:1s"
SERVERS = ("postgres", "valkey", "exchange")

Report = Callable[[str], object]


class Story:
    """Steps that are timed and reported, and the outcomes of what was disturbed."""

    def __init__(self, report: Report) -> None:
        self.outcomes: list[Outcome] = []
        self._report = report
        self._began = time.monotonic()

    def step(self, text: str) -> None:
        """Report something that was reached."""
        self._report(f"{time.monotonic() - self._began:5.0f} s  {text}")

    def add(self, outcome: Outcome) -> None:
        """Keep and report an outcome."""
        self.outcomes.append(outcome)
        self.step(str(outcome))


def make_images(story: Story) -> None:
    """Make stand-ins for the images that are missing, and build the project's own."""
    for command in (
        (str(HERE / "stand_ins" / "make"),),
        (
            *("podman", "build", "--network", "host", "--format", "docker", "--tag", IMAGE),
            *("--file", "docker/Dockerfile", str(BASE_DIR)),
        ),
    ):
        done = run(*command, seconds=BUILD_S)
        if done.status:
            raise LabFailed(f"{command[0]}: {done.output[-3000:]}")
    story.step("the image is built")


# Compose


def compose_story(story: Story, folder: Path) -> None:
    """Bring compose's services up, watch through the proxy, kill one of each kind."""
    services = [name for name in COMPOSE["services"] if name not in LEFT_OUT]
    programs = [name for name in services if is_program(COMPOSE["services"][name])]
    with Stack("trade_canvas-compose", folder) as stack:
        stack.start(*SERVERS, "migrate")
        stack.start(*(name for name in programs if name != "migrate"))
        stack.start(*(name for name in services if name not in (*SERVERS, *programs)))
        stack.wait_healthy(*(name for name in services if name != "migrate"))
        story.step(f"compose: {len(stack.containers())} containers run and are healthy")
        _check_confinement(stack, services)
        story.step("compose: no secret in arguments, every container confined as promised")
        _trust(stack)
        _watch_each_web(story, stack)
        wait_until(lambda: _scraped(stack), READY_S, "Prometheus to scrape every process")
        story.step("compose: Prometheus scrapes every web instance and worker")
        for name in services:
            if name != "migrate":
                _kill_one(story, stack, name)
        _check_confinement(stack, services)
    _check_gone(stack)
    story.step("compose: everything is taken down")


def _check_confinement(stack: Stack, services: list[str]) -> None:
    found = shown_secrets(stack.containers(), stack.secrets)
    for name in services:
        service = COMPOSE["services"][name]
        limit = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", service["mem_limit"])
        promised = Confinement(
            memory=limit,
            read_only=service.get("read_only", False),
            capabilities=NET_BIND_SERVICE if service.get("cap_add") else 0,
            as_root=name == "caddy",
        )
        running = [each for each in stack.containers(name) if each.is_running]
        found += [breach for each in running for breach in breaches(each, promised)]
    if found:
        raise LabFailed("\n".join(found))


def _trust(stack: Stack) -> None:
    """Have this process and its watchers accept the certificate that the proxy made for itself."""
    os.environ["SSL_CERT_FILE"] = str(stack.trust())


def _watch_each_web(story: Story, stack: Stack) -> None:
    """Closed and forming candles at each web: of a whitelisted series, and of one on demand."""
    url = stack.url
    wait_until(lambda: get(f"{url}/readyz")[0] == 200, READY_S, "the proxy to serve")
    wait_until(lambda: FOLLOWED in stack.heads(), READY_S, "candles")
    for series in (FOLLOWED, ON_DEMAND):
        story.step(f"{stack.project}: {series}: {_watch(stack, series)}")
    stack.series = (FOLLOWED, ON_DEMAND)


def _watch(stack: Stack, series: str) -> str:
    """Watch a series through the proxy until each web has sent every kind of frame."""
    webs = stack.containers("web")
    kinds = ("candle_closed", "candle_forming")
    order = Order(urls=(stack.url,), series=(series,), watchers=WATCHERS)
    with Crowd(order, log=stack.logs / "watchers.log") as crowd:
        before = [[_frames(web, kind) for kind in kinds] for web in webs]
        joined = crowd.attach()
        if joined.live != joined.asked:
            raise LabFailed(f"{joined.live} of {joined.asked} watchers of {series} get candles")
        attached = [int(_metric(each, "market_ws_watchers")) for each in webs]

        def has_sent(web: Container, since: list[float]) -> bool:
            sent = [_frames(web, kind) for kind in kinds]
            return all(now > then for now, then in zip(sent, since, strict=True))

        for web, since in zip(webs, before, strict=True):
            what = f"closed and forming candles of {series} from {web.name}"
            wait_until(partial(has_sent, web, since), READY_S, what)
    return f"{attached} watchers of each web, all live after {max(joined.seconds):.1f} s"


def _frames(web: Container, kind: str) -> float:
    return _metric(web, "market_ws_frames_total", f'type="{kind}"')


def _metric(container: Container, name: str, labels: str = "") -> float:
    """Return the sum of a metric of a web process, read as Prometheus does."""
    script = (
        "import os, urllib.request as r; request = r.Request('http://127.0.0.1:8000/metrics',"
        "headers={'Authorization': 'Bearer ' + os.environ['TRADE_CANVAS_METRICS_TOKEN']});"
        "print(r.urlopen(request, timeout=10).read().decode())"
    )
    done = container.execute("python", "-c", script)
    pattern = rf"^{name}(?:\{{.*{labels}.*\}})? (\S+)$"
    return sum(map(float, re.findall(pattern, done.output, re.M)))


def _scraped(stack: Stack) -> bool:
    (prometheus,) = stack.containers("prometheus")
    status, answer = get(f"http://{prometheus.address}:9090/api/v1/targets?state=active")
    if status != 200:
        return False
    healthy = [each["health"] == "up" for each in answer["data"]["activeTargets"]]
    expected = sum(
        len(stack.containers(name))
        for name, service in COMPOSE["services"].items()
        if name == "web" or "TRADE_CANVAS_METRICS_PORT" in service.get("environment", {})
    )
    return len(healthy) == expected and all(healthy)


def _kill_one(story: Story, stack: Stack, service: str) -> None:
    """Kill one container of a kind; it is restarted, and the watchers get every candle."""
    candidates = stack.containers(service)
    victim = max(candidates, key=_latest_fence) if len(candidates) > 1 else candidates[0]
    title = f"compose: kill -9 in a container of {service}"
    with watched(stack, title, story.add, watchers=WATCHERS) as watch, watch.fault():
        began = time.monotonic()
        victim.wait_restarted(victim.crash(), RECOVERY_S)
        watch.note(f"healthy again after {time.monotonic() - began:.0f} s")


def _latest_fence(container: Container) -> int:
    """Return the newest fence that a worker drew for the followed series, 0 for none."""
    pattern = rf"{re.escape(FOLLOWED)}: following with fence (\d+)"
    return max(map(int, re.findall(pattern, container.logs)), default=0)


def _check_gone(stack: Stack) -> None:
    if left := [each.name for each in stack.containers()]:
        raise LabFailed(f"left behind: {', '.join(left)}")


# Kubernetes


def kubernetes_story(story: Story, folder: Path) -> None:
    """Start every pod before the tables exist, migrate, watch, and roll every deployment out."""
    with Stack("trade_canvas-pods", folder) as stack:
        stack.start(*SERVERS)
        stack.wait_healthy("postgres", "valkey")
        running = _start_around_the_job(story, stack)
        story.step("pods: after the job every probe passes")
        _check_pods(stack, running)
        # Stands for the ingress controller.
        stack.start_alone("caddy")
        _trust(stack)
        _watch_each_web(story, stack)
        title = "pods: rollout of every deployment"
        with watched(stack, title, story.add, watchers=WATCHERS) as watch, watch.fault():
            for each in running:
                watch.note(_replace(each, stack))
    _check_gone(stack)
    story.step("pods: everything is taken down")


def _start_around_the_job(story: Story, stack: Stack) -> list[pods.Pod]:
    """Start every pod, then the job that makes the tables; return the pods when all are ready."""
    every = pods.kinds()
    job = every.pop("migrate")
    numbered = [(kind, n) for kind in every.values() for n in range(kind.replicas)]
    first = [pods.start_first(*each, stack) for each in numbered]
    running = [_start_unready(*each, stack) for each in numbered if each[0].name == "web"]
    if early := [each.name for each in first if each is not None and not each.is_running]:
        raise LabFailed(f"did not wait for the tables: {', '.join(early)}")
    story.step("pods: before the job the webs are alive and not ready, the others wait")
    if status := pods.start(job, 0, stack).container.wait_ended(JOB_S):
        raise LabFailed(f"migrate ended with {status}")
    for waited, each in zip(first, numbered, strict=True):
        if waited is not None:
            _wait_first(waited)
            running.append(pods.start(*each, stack))
    for pod in running:
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            pod.wait_for(probe, READY_S)
    return running


def _start_unready(kind: pods.Kind, number: int, stack: Stack) -> pods.Pod:
    pod = pods.start(kind, number, stack)
    pod.wait_for("startupProbe", READY_S)
    if pod.passes("readinessProbe"):
        raise LabFailed(f"{pod.container.name} is ready before the tables exist")
    return pod


def _wait_first(container: Container) -> None:
    if status := container.wait_ended(READY_S):
        raise LabFailed(f"{container.name} ended with {status}: {container.logs[-3000:]}")


def _check_pods(stack: Stack, running: list[pods.Pod]) -> None:
    found = shown_secrets(stack.containers(), stack.secrets)
    for each in running:
        if each.container.facts["RestartCount"]:
            found.append(f"{each.container.name} was restarted")
        found += breaches(each.container, each.kind.promised)
    if found:
        raise LabFailed("\n".join(found))


def _replace(old: pods.Pod, stack: Stack) -> str:
    """Start a new pod, wait until it may get work, end the old one in its grace time."""
    number = int(old.container.name.rsplit("_", 1)[1]) + 10
    if first := pods.start_first(old.kind, number, stack):
        _wait_first(first)
    new = pods.start(old.kind, number, stack)
    new.wait_for("startupProbe", READY_S)
    new.wait_for("readinessProbe", READY_S)
    took, status = old.end()
    if took > old.kind.grace_s or status not in (0, 143):
        raise LabFailed(f"{old.container.name} ended with {status} after {took:.0f} s")
    return f"{old.kind.name} ended after {took:.1f} s"
