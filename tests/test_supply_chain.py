"""What is installed is what was locked, and an audit that could not ask does not pass."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lab.waiting import patience

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-bench.lock")
EXTRA = "requirements-arrow.lock"
INSTALLING = (
    ROOT / "Makefile",
    *(ROOT / ".ci").iterdir(),
    *(ROOT / "docker").glob("Dockerfile*"),
    *ROOT.glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "frontend").glob("*.md"),
)


def locked(name):
    """Return the requirements of a lock file, each with its hashes."""
    text = re.sub(r"\s*\\\n\s*", " ", (ROOT / name).read_text())
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def versions(name):
    """Return the pinned versions of a lock file."""
    return {entry.split()[0] for entry in locked(name)}


@pytest.mark.parametrize("lock", [*LOCKS, EXTRA])
def test_every_package_is_pinned_with_hashes(lock):
    assert len(locked(lock)) > (0 if lock == EXTRA else 30)
    for entry in locked(lock):
        assert re.fullmatch(r"[a-z0-9.-]+==\S+( ; [^#]+?)?( --hash=sha256:[0-9a-f]{64})+", entry)


@pytest.mark.parametrize("lock", [*LOCKS, EXTRA, "frontend/package-lock.json"])
def test_lock_names_no_registry(lock):
    text = (ROOT / lock).read_text()
    assert not re.search(r"--(extra-)?index-url|--find-links|--trusted-host|\"resolved\"", text)
    if lock != "frontend/package-lock.json":
        assert "://" not in text


def test_dev_lock_contains_the_packages_that_run():
    assert versions("requirements.lock") | versions(EXTRA) <= versions("requirements-dev.lock")


@pytest.mark.parametrize("lock", ["requirements.lock", EXTRA])
def test_lock_has_the_versions_that_requirements_ask_for(lock):
    text = (ROOT / lock).with_suffix(".txt").read_text()
    asked = {line.lower() for line in text.splitlines() if line and not line.startswith("#")}
    assert asked <= versions(lock)


def test_image_has_the_extra_of_candle_files():
    dockerfile = (ROOT / "docker/Dockerfile").read_text()
    assert re.search(rf"^COPY .*\b{EXTRA} /tmp/$", dockerfile, re.M)
    assert f"--requirement /tmp/{EXTRA}" in dockerfile


def test_every_npm_package_has_a_checksum():
    packages = json.loads((ROOT / "frontend/package-lock.json").read_text())["packages"]
    installed = {name: each for name, each in packages.items() if name}
    assert len(installed) > 50
    for name, each in installed.items():
        assert each["integrity"].startswith("sha512-"), name


def test_what_installs_packages_checks_hashes():
    installs = [
        (path.name, line.strip())
        for path in INSTALLING
        for line in path.read_text().replace("\\\n", " ").splitlines()
        if re.search(r"\bpip install\b.*(-r|--requirement)\b|^PIP :=", line)
    ]
    assert {name for name, _ in installs} >= {"Makefile", "Dockerfile"}
    assert [each for each in installs if "--require-hashes" not in each[1]] == []


def test_npm_installs_what_is_locked():
    commands = [
        command
        for path in INSTALLING
        for command in re.findall(r"npm (?:ci|i|install|add)\b[^`\n|]*", path.read_text())
    ]
    assert commands
    assert [
        each for each in commands if not re.match(r"npm ci|npm install --package-lock-only", each)
    ] == []


class Databases(BaseHTTPRequestHandler):
    """Vulnerabilities of Python and npm packages, in the protocols of OSV and of npm."""

    vulnerable = frozenset({"django==5.0"})

    def do_POST(self):
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        body = json.loads(gzip.decompress(sent) if "Content-Encoding" in self.headers else sent)
        if "package" in body:
            name, version = body["package"]["name"], body["version"]
            known = f"{name}=={version}" in self.vulnerable or name in self.vulnerable
            affected = [{"package": {"name": name, "ecosystem": "PyPI"}, "ranges": []}]
            vuln = {"id": "PYSEC-0", "summary": "a fault", "affected": affected}
            self.reply({"vulns": [vuln]} if known else {})
        else:
            advisory = {"id": 1, "url": "u", "title": "a fault", "severity": "high"}
            advisory |= {"vulnerable_versions": "*"}
            self.reply({name: [advisory] for name in body if name in self.vulnerable})

    def reply(self, content):
        encoded = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def log_message(self, format, *args):
        pass


@pytest.fixture
def databases():
    """Return a function that serves databases which know some vulnerable packages."""
    servers = []

    def serve(*vulnerable):
        handler = type("Handler", (Databases,), {"vulnerable": frozenset(vulnerable)})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def audit(url, tmp_path, **environment):
    environment = {
        **os.environ,
        "OSV_URL": f"{url}/v1/query",
        "npm_config_registry": f"{url}/",
        "npm_config_cache": str(tmp_path),
        "npm_config_fetch_retries": "0",
        "OFFLINE": "",
        **environment,
    }
    command = [sys.executable, str(ROOT / ".ci/audit.py")]
    options = {"capture_output": True, "text": True, "timeout": patience(60)}
    return subprocess.run(command, env=environment, **options)


def test_audit_passes_when_every_package_was_asked_about(databases, tmp_path):
    done = audit(databases("django==5.0"), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    checked = dict(re.findall(r"^(\S+): (\d+) packages checked$", done.stdout, re.M))
    assert set(checked) == {"requirements-dev.lock", "requirements-bench.lock", "package-lock.json"}
    assert int(checked["package-lock.json"]) > 50


@pytest.mark.parametrize("package", ["celery", pytest.param("vite", marks=pytest.mark.prove)])
def test_audit_fails_for_a_vulnerable_package_also_offline(package, databases, tmp_path):
    done = audit(databases("django==5.0", package), tmp_path, OFFLINE="1")
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"vulnerable: {package}" in done.stdout


def test_audit_that_could_not_ask_fails(tmp_path):
    done = audit("http://127.0.0.1:9", tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout.count("NOT AUDITED") == 2


def test_audit_of_a_database_that_knows_nothing_fails(databases, tmp_path):
    done = audit(databases(), tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "has nothing about django==5.0" in done.stdout


def test_audit_that_could_not_ask_passes_in_the_marked_mode_and_reports_it(tmp_path):
    done = audit("http://127.0.0.1:9", tmp_path, OFFLINE="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("NOT AUDITED") == 2
    assert "passed without an audit" in done.stdout
