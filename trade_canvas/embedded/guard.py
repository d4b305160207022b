"""The small process beside each embedded server: stops it when nobody uses it any more.

Started by path with `python -I`, so that it needs nothing but the standard library. It holds the
guard lock while it lives (that is how others know that the server is up), tells the server's
process id on its standard output, and ends the server when the users' lock is free or on SIGTERM.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

POLL_S = 0.1
PR_SET_PDEATHSIG = 1


def main(order: dict[str, Any]) -> int:
    """Run `order["command"]` until it ends, is unused, or is told to stop; return its status."""
    with open(order["guard_lock"], "w") as guard_lock, open(order["users_lock"], "w") as users_lock:
        try:
            # Whoever asks whether it is free holds it for a moment.
            _lock_within(guard_lock, seconds=order["stop_timeout_s"])
        except TimeoutError:
            return os.EX_TEMPFAIL
        return _guard(order, users_lock)


def _guard(order: dict[str, Any], users_lock: TextIO) -> int:
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: stopped.append(received))
    server = _spawn(order)
    print(server.pid, flush=True)
    os.close(sys.stdout.fileno())
    while server.poll() is None and not stopped and not _lock(users_lock):
        time.sleep(POLL_S)
    _end(server, signal.Signals(order["stop_signal"]), order["stop_timeout_s"])
    return 0 if stopped else server.returncode


def _spawn(order: dict[str, Any]) -> subprocess.Popen[bytes]:
    with open(order["log"], "ab") as log:
        return subprocess.Popen(
            order["command"],
            user=order["user"],
            group=order["group"],
            extra_groups=[] if order["user"] is not None else None,
            cwd=order["directory"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent(signal.Signals(order["stop_signal"])),
        )


def _end(server: subprocess.Popen[bytes], first: signal.Signals, timeout_s: float) -> None:
    for number in (first, signal.SIGQUIT, signal.SIGKILL):
        if server.poll() is not None:
            return
        server.send_signal(number)
        try:
            server.wait(timeout_s)
        except subprocess.TimeoutExpired:
            continue


def die_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """Return a `preexec_fn` that has Linux signal the child when its parent dies."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def arrange() -> None:
        prctl(PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:
            # The parent died before the arrangement stood.
            os.kill(os.getpid(), number)

    return arrange


def _lock(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock_within(file: TextIO, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not _lock(file):
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(POLL_S)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
