"""Capacity gate, drills, benchmarks and pictures; only tests import it."""

from __future__ import annotations

import sys
from pathlib import Path

# The Python client is a package of its own, which a checkout need not install.
sys.path.append(str(Path(__file__).parents[1] / "clients" / "python"))
