"""The build hook: puts the server's computation into the package (stage_factors.py)."""

from __future__ import annotations

import runpy
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = Path(__file__).parent


class FactorsBuildHook(BuildHookInterface[Any]):  # type: ignore[misc]
    """Gives a wheel or an sdist the staged package; an editable one uses the checkout as it is."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Choose the folder that becomes the package."""
        if version == "editable":
            return
        staging = runpy.run_path(str(HERE / "stage_factors.py"))
        package = HERE / "trade_canvas_factors"
        if staging["is_checkout"]():
            package = staging["stage"](Path(tempfile.mkdtemp(prefix="trade-canvas-factors-")))
        build_data["force_include"][str(package)] = package.name
