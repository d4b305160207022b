"""What is started is what docker/ describes, with this test's servers and exchange."""

from __future__ import annotations

import yaml

from lab.containers import pods
from lab.containers.stack import COMPOSE, Stack, is_program


def programs_of_compose():
    return [name for name, service in COMPOSE["services"].items() if is_program(service)]


def test_every_program_of_compose_follows_the_local_exchange(tmp_path):
    text = Stack("unused", tmp_path).changes()
    changes = yaml.safe_load(text.replace("!override", ""))
    for name in programs_of_compose():
        address = changes["services"][name]["environment"]["TRADE_CANVAS_SIM_URL"]
        assert address.startswith("http://exchange:")
    # They replace the project's values: added to them, the ports would be open as well.
    assert text.count("!override") == 3


def test_pods_are_the_programs_of_compose():
    assert set(pods.kinds()) == set(programs_of_compose())


def test_pod_gets_every_variable_of_its_manifest(tmp_path):
    web = pods.kinds()["web"].container
    settings = pods.environment_of(web, Stack("unused", tmp_path))
    (given,) = (each["data"] for each in pods.manifests() if each["kind"] == "ConfigMap")
    assert settings["TRADE_CANVAS_INGEST_ROLE"] == "read"
    assert "ADMIN_PASSWORD" not in settings
    changed = {name for name, value in given.items() if settings[name] != value}
    assert changed == {
        "ALLOWED_HOSTS",
        "CSRF_TRUSTED_ORIGINS",
        "EXCHANGE",
        "TRADE_CANVAS_CORS_ORIGINS",
        "TRADE_CANVAS_ENABLE_TIMESCALE",
    }


def test_variables_in_commands_are_replaced_as_kubernetes_does():
    environment = {"EXCHANGE": "sim"}
    assert pods.expanded("$(EXCHANGE)", environment) == "sim"
    assert (
        pods.expanded("celery@$(uname -n) $(OTHER)", environment) == "celery@$(uname -n) $(OTHER)"
    )
