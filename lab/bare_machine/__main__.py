"""`python -m lab.bare_machine`: needs root, Debian, and the network for packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from lab.bare_machine import repository
from lab.bare_machine.machine import Machine, StepFailed
from lab.bare_machine.page import Page
from lab.bare_machine.story import Broken, Story, run
from lab.waiting import WaitTimeout

ROOT = repository.ROOT
FOLDER = ROOT / "output" / "bare-machine"


def main() -> int:
    """Follow the page and return the exit status."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print("needs root on Debian", file=sys.stderr)
        return 2
    if shutil.which("debootstrap") is None:
        subprocess.run(["apt-get", "install", "--quiet=2", "--yes", "debootstrap"], check=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    machine = Machine(FOLDER)
    with tempfile.TemporaryDirectory() as folder:
        made = repository.make(Path(folder) / "trade_canvas.git")
        try:
            machine.make_base()
            machine.start()
            return run(Story(machine, Page(ROOT / "docs" / "bare-machine.md"), made))
        except (Broken, StepFailed, WaitTimeout) as error:
            print(error, file=sys.stderr)
            if os.environ.get("KEEP"):
                input("the machine still runs; Enter ends it ")
            return 1
        finally:
            machine.stop()


if __name__ == "__main__":
    sys.exit(main())
