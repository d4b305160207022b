"""Run every benchmark in turn (`make bench`). Takes minutes; leave the machine idle."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NOT_BENCHMARKS = {
    "__init__",
    "__main__",
    "bare_servers",
    "harness",
    "page_views",
    "samples",
    "stack",
    "watchers",
}


def main() -> int:
    """Run each module that measures something, in a process of its own."""
    here = Path(__file__).parent
    names = sorted(path.stem for path in here.glob("*.py") if path.stem not in NOT_BENCHMARKS)
    failed = 0
    for name in names:
        print(f"== {name}", flush=True)
        failed |= subprocess.call([sys.executable, "-m", f"lab.benchmarks.{name}"])
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
