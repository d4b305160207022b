"""Checks every locked package of Python and npm for known vulnerabilities.

Exit status 0: all were checked and none is vulnerable. 1: some are vulnerable. 2: the databases
could not be asked; with OFFLINE=1 in the environment that passes, and is reported.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
# requirements-dev.lock contains requirements.lock.
LOCKS = ("requirements-dev.lock", "requirements-bench.lock")
# A database that knows nothing of this version is not the database.
VULNERABLE = "django==5.0"
VULNERABLE_HASH = "0" * 64
TIMEOUT_S = 600.0


class NotAsked(Exception):
    """No database of vulnerabilities answered; the message gives the reason."""


def main() -> int:
    """Check all lock files and return the exit status."""
    found: list[str] = []
    not_asked: list[str] = []
    for check in (python_packages, npm_packages):
        try:
            found += check()
        except NotAsked as error:
            not_asked.append(str(error))
    for each in found:
        print(f"vulnerable: {each}")
    for each in not_asked:
        print(f"NOT AUDITED: {each}")
    if found:
        return 1
    if not not_asked:
        return 0
    if os.environ.get("OFFLINE") == "1":
        print("passed without an audit: OFFLINE=1 allows that")
        return 0
    print("OFFLINE=1 lets this pass where no database can be reached")
    return 2


def python_packages() -> list[str]:
    """Return the vulnerabilities of all packages in LOCKS; raise NotAsked."""
    with tempfile.TemporaryDirectory() as folder:
        known = Path(folder) / "known.txt"
        known.write_text(f"{VULNERABLE} --hash=sha256:{VULNERABLE_HASH}\n")
        if not pip_audit(known):
            raise NotAsked(f"the database of Python's packages has nothing about {VULNERABLE}")
    return [each for lock in LOCKS for each in pip_audit(ROOT / lock)]


def pip_audit(lock: Path) -> list[str]:
    """Return the vulnerabilities of the packages in one lock file; raise NotAsked."""
    # Without --no-deps and --disable-pip it would resolve and download what is locked already.
    command = [str(BIN / "pip-audit"), "--requirement", str(lock), "--no-deps", "--disable-pip"]
    command += ["--progress-spinner", "off", "--format", "json", "--vulnerability-service", "osv"]
    command += ["--timeout", "10"]
    if url := os.environ.get("OSV_URL"):
        command += ["--osv-url", url]
    report = run_json(command, "the database of Python's packages did not answer")
    packages = report["dependencies"]
    if skipped := [each["name"] for each in packages if "skip_reason" in each]:
        raise NotAsked(f"{lock.name}: nothing is known of {', '.join(skipped)}")
    if lock.name in LOCKS:
        print(f"{lock.name}: {len(packages)} packages checked")
    return [
        f"{each['name']} {each['version']}: {one['id']}"
        for each in packages
        for one in each["vulns"]
    ]


def npm_packages() -> list[str]:
    """Return the vulnerabilities of all packages in package-lock.json; raise NotAsked."""
    folder = ROOT / "frontend"
    npm = shutil.which("npm", path=f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}")
    if npm is None:
        raise NotAsked("npm is not installed")
    command = [npm, "audit", "--package-lock-only", "--json"]
    report = run_json(command, "npm's database did not answer", folder=folder)
    if "vulnerabilities" not in report:
        raise NotAsked("npm's database did not answer")
    count = report["metadata"]["dependencies"]["total"]
    print(f"package-lock.json: {count} packages checked")
    return [f"{name}: {each['severity']}" for name, each in report["vulnerabilities"].items()]


def run_json(command: list[str], problem: str, *, folder: Path = ROOT) -> dict[str, Any]:
    """Run a program and return the JSON object that it printed; raise NotAsked with `problem`."""
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        content = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, json.JSONDecodeError) as error:
        raise NotAsked(problem) from error
    if not isinstance(content, dict):
        raise NotAsked(problem)
    return content


if __name__ == "__main__":
    sys.exit(main())
