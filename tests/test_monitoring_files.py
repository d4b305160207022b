"""Dashboard and alerts ask for metrics that exist, and the alerts' own tests hold."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric

from lab.waiting import patience
from market.installation.metrics import InstallationMetrics
from market.installation.status import InstallationStatus
from market.metrics_registry import FAMILIES, REGISTRY, Counter, Gauge, collecting
from trade_canvas.metrics import DECLARED

DOCKER = Path(__file__).parents[1] / "docker"
PROMETHEUS = DOCKER / "prometheus"
PAGE = (Path(__file__).parents[1] / "docs" / "metrics.md").read_text()
RULES = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((DOCKER / "grafana" / "trade_canvas.json").read_text())
EXPRESSIONS = [rule["expr"] for rule in RULES] + [
    target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])
]
NAME = re.compile(r"\b(?:market|process)_[a-z_]+\b")
# What they are grouped or distinguished by, and what Prometheus itself adds.
ENDS = {"histogram": ("_bucket", "_count", "_sum"), "counter": ("_total",), "gauge": ("",)}


def nothing():
    return InstallationStatus(
        at=1.0, followed=(), members=(), queues=(), taken=0, unreachable=frozenset()
    )


def names(metric: Metric) -> set[str]:
    return {metric.name + end for end in ENDS.get(metric.type, ("",))}


def known():
    """Every name that a process may expose."""
    assert DECLARED
    collected = [*REGISTRY.collect(), *InstallationMetrics(nothing).collect()]
    # Exposed only after the first round.
    return set().union(*map(names, collected)) | {"market_reconcile_age_seconds"}


def test_every_metric_that_is_asked_for_exists():
    asked = {name for text in EXPRESSIONS for name in NAME.findall(text)}
    assert len(asked) > 30
    assert asked - known() == set()


def test_page_names_only_metrics_that_exist():
    exposed = {
        name
        for name in re.findall(r"`(market_[a-z_]+)[`{]", PAGE)
        if not name.endswith("_") and not name.endswith("_ms")
    }
    whole = known()
    assert len(exposed) > 40
    assert {n for n in exposed if n not in whole and f"{n}_count" not in whole} == set()


DEPRECATED = dict(re.findall(r"^\| `(market_\w+_count)` \| `(market_\w+)` \|$", PAGE, re.M))


def test_deprecated_gauges_keep_their_values_untyped():
    assert len(DEPRECATED) == 4
    collected = {metric.name: metric for metric in REGISTRY.collect()}
    for old, new in DEPRECATED.items():
        assert (collected[old].type, collected[new].type) == ("unknown", "gauge")
    asked = {name for text in EXPRESSIONS for name in NAME.findall(text)}
    assert asked & set(DEPRECATED) == set()


def test_gauges_and_counters_have_the_endings_of_their_kind():
    ends = ("_count", "_sum", "_bucket", "_total", "_info")
    kinds = {family.name: type(family) for family in FAMILIES}
    assert [name for name, kind in kinds.items() if kind is Gauge and name.endswith(ends)] == []
    assert [n for n, kind in kinds.items() if kind is Counter and not n.endswith("_total")] == []


@pytest.mark.skipif(not shutil.which("promtool"), reason="no promtool: it comes with Prometheus")
def test_promtool_has_nothing_to_say_of_the_metrics():
    with collecting():
        for family in FAMILIES:
            record = getattr(family, "inc", None) or family.observe
            record(1, *family.labels)
        exposed = generate_latest(REGISTRY) + generate_latest(InstallationMetrics(nothing))
    command = ["promtool", "check", "metrics"]
    done = subprocess.run(command, input=exposed, capture_output=True, timeout=patience(60))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_page_explains_every_alert():
    explained = re.findall(r"^\| `(\w+)` \| .+ \| .+ \|$", PAGE, re.M)
    assert [rule["alert"] for rule in RULES] == explained


def test_alerts_have_tests_of_their_own():
    tests = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]
    named = {each["alertname"] for test in tests for each in test["alert_rule_test"]}
    fired = {"SeriesStale", "BreakerOpen", "QueueBacklog", "TradeCanvasDown", "ReconcileStopped"}
    assert fired <= named


def test_dashboard_panels_do_not_overlap():
    taken = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.skipif(not shutil.which("promtool"), reason="no promtool: it comes with Prometheus")
def test_alerts_fire_when_promtool_plays_trouble():
    command = ["promtool", "test", "rules", "alerts_test.yml"]
    done = subprocess.run(
        command, cwd=PROMETHEUS, capture_output=True, text=True, timeout=patience(60)
    )
    assert done.returncode == 0, done.stdout + done.stderr
