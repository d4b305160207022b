"""The small process beside each embedded server: stops it when its owner ends, however it ends.

Run by path with `python -I`, so that it needs only the standard library. It prints the server's
process id, and stops the server when standard input is closed (by `stop`, or by the system when
the owner was killed) or on SIGTERM.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

POLL_S = 0.1
PR_SET_PDEATHSIG = 1


def main(order: dict[str, Any]) -> int:
    """Run `order["command"]` until it ends or must stop; return its status."""
    stops: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: stops.append(received))
    first = signal.Signals(order["stop_signal"])
    with open(order["log"], "ab") as log:
        server = subprocess.Popen(
            order["command"],
            user=order["user"],
            group=order["group"],
            extra_groups=[] if order["user"] is not None else None,
            cwd=order["directory"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent(first),
        )
    with suppress(BrokenPipeError):
        # An owner that has just been killed reads nothing; the loop notices.
        os.write(sys.stdout.fileno(), b"%d\n" % server.pid)
    os.close(sys.stdout.fileno())
    while server.poll() is None and not stops and not _owner_has_gone():
        pass
    for number in (first, signal.SIGQUIT, signal.SIGKILL):
        if server.poll() is not None:
            break
        server.send_signal(number)
        try:
            server.wait(order["stop_timeout_s"])
        except subprocess.TimeoutExpired:
            continue
    return server.returncode


def die_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """Return a `preexec_fn` that has Linux signal the child when its parent dies.

    A program that keeps nothing gets SIGKILL: it ends also when it is stuck, or still starting.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def arrange() -> None:
        if number != signal.SIGKILL:
            # Until the program begins, the parent's handler would take the signal and do nothing.
            signal.signal(number, signal.SIG_DFL)
        prctl(PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:
            # The parent died before the call.
            os.kill(os.getpid(), number)

    return arrange


def _owner_has_gone() -> bool:
    """Wait a moment; return True when standard input is closed. Nothing is ever written to it."""
    return bool(select.select([sys.stdin], [], [], POLL_S)[0])


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
