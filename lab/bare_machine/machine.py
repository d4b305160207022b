"""A Debian machine of its own, with systemd, in namespaces of this one: needs root on Debian."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from lab.waiting import wait_until

BOOT = Path(__file__).with_name("boot.sh")
SUITE = "bookworm"
# Only what debootstrap does not choose by itself; the rest is what the page installs.
INCLUDED = "systemd-sysv,dbus,ca-certificates"
# What package clients need here: sources, keys and certificates of this machine.
CLIENT_FILES = (
    "etc/apt/sources.list",
    "etc/apt/sources.list.d",
    "etc/apt/auth.conf.d",
    "etc/apt/trusted.gpg.d",
    "etc/ssl/certs/ca-certificates.crt",
    "usr/local/share/ca-certificates",
    "etc/resolv.conf",
)
CLIENT_VARIABLES = frozenset({"http_proxy", "https_proxy", "no_proxy"})
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
STEP_LIMIT_S = 1800.0


class StepFailed(Exception):
    """A command on the machine failed; the message has its output."""


class Machine:
    """The machine. Its base system is kept in a folder; each start begins with that, unchanged."""

    def __init__(self, folder: Path) -> None:
        self._debian = folder / "debian"
        self._changes = Path(tempfile.mkdtemp(prefix="machine-", dir=folder))
        self._program: subprocess.Popen[bytes] | None = None

    def make_base(self) -> None:
        """Install the base system, unless it is there."""
        if (self._debian / "etc/debian_version").exists():
            return
        draft = self._debian.with_suffix(".draft")
        shutil.rmtree(draft, ignore_errors=True)
        command = ["debootstrap", "--variant=minbase", f"--include={INCLUDED}", SUITE, str(draft)]
        subprocess.run([*command, _mirror()], check=True, stdout=subprocess.DEVNULL)
        for name in CLIENT_FILES:
            source, target = Path("/", name), draft / name
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            elif source.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
        # Not a container of a desktop: nobody logs in.
        for unit in ("console-getty.service", "getty@.service", "systemd-logind.service"):
            (draft / "etc/systemd/system" / unit).symlink_to("/dev/null")
        draft.rename(self._debian)

    def start(self) -> None:
        """Boot, and wait until systemd has started everything."""
        command = [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--net",
            "--uts",
            "--ipc",
        ]
        arguments = ["bash", str(BOOT), str(self._debian), str(self._changes)]
        self._program = subprocess.Popen([*command, *arguments], stdin=subprocess.DEVNULL)
        states = ("running", "degraded")
        wait_until(lambda: self._state() in states, 60, "the machine to boot")

    def stop(self) -> None:
        """End every process of the machine, and delete its changes."""
        if self._program is not None:
            if (init := self._init()) is not None:
                os.kill(init, signal.SIGKILL)
            self._program.wait()
        _remove_groups()
        shutil.rmtree(self._changes)

    def run(
        self,
        script: str,
        *,
        online: bool = False,
        check: bool = True,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """Run a script as root on the machine and return what it printed.

        `online`: with the network of this machine, to install packages. Raises StepFailed.
        """
        command = [*self._enter(online=online), "bash", "-euo", "pipefail", "-c", script]
        done = subprocess.run(
            command,
            env=_environment(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=STEP_LIMIT_S,
            check=False,
        )
        if check and done.returncode:
            raise StepFailed(f"status {done.returncode} of\n{script}\n{done.stdout[-4000:]}")
        return done.stdout

    def start_program(self, script: str) -> subprocess.Popen[str]:
        """Start a script as root on the machine; its output is for the caller to read."""
        command = [*self._enter(online=False), "bash", "-c", f"exec {script}"]
        return subprocess.Popen(
            command,
            env=_environment({}),
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def put(self, path: str, content: str, mode: int = 0o644) -> None:
        """Write a file on the machine."""
        target = f"install -m {mode:o} /dev/stdin {path}"
        command = [*self._enter(online=False), "bash", "-c", target]
        subprocess.run(command, env=_environment({}), input=content, text=True, check=True)

    def share(self, source: Path, path: str) -> None:
        """Copy a file or folder of this machine to the machine."""
        # /proc leads to its root, overlay and all.
        target = Path(f"/proc/{self._init()}/root") / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "--recursive", str(source), str(target)], check=True)

    def _enter(self, *, online: bool) -> list[str]:
        namespaces = ["--mount", "--pid", "--uts", "--ipc", "--cgroup", "--root", "--wd"]
        network = [] if online else ["--net"]
        return ["nsenter", "--target", str(self._init()), *namespaces, *network]

    def _init(self) -> int | None:
        """The process id of the machine's systemd, as seen from here."""
        assert self._program is not None
        path = Path(f"/proc/{self._program.pid}/task/{self._program.pid}/children")
        children = path.read_text().split() if path.exists() else []
        return int(children[0]) if children else None

    def _state(self) -> str:
        assert self._program is not None
        if self._program.poll() is not None:
            raise StepFailed(f"the machine ended with status {self._program.returncode}")
        if self._init() is None:
            return ""
        return self.run("systemctl is-system-running || true", check=False).strip()


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    proxies = {name: os.environ[name] for name in os.environ if name.lower() in CLIENT_VARIABLES}
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        "PIP_CERT": CERTIFICATES,
        "NODE_EXTRA_CA_CERTS": CERTIFICATES,
        **proxies,
        **more,
    }


def _mirror() -> str:
    """The address of the Debian archive that this machine uses."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return next(line.split()[1] for line in listed.splitlines() if line.startswith(f"{SUITE} "))


def _remove_groups() -> None:
    """Remove the machine's control groups, which are empty now."""
    for group in Path("/sys/fs/cgroup").glob("**/bare_machine"):
        for path in sorted([group, *group.rglob("*")], reverse=True):
            # A group whose last process has just ended is busy for a moment.
            with contextlib.suppress(OSError):
                path.rmdir()
