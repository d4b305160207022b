"""The names that the server's modules have there: `factors.domain` and so on.

A factor that is written for the server imports `factors.domain.graph`. In an installed package that
module has another name; after `use_server_names()` it is found under both.
"""

from __future__ import annotations

import pkgutil
import sys
from importlib import import_module
from importlib.util import find_spec

from market.domain.candle import Candle

PREFIX = Candle.__module__.removesuffix("market.domain.candle")
"""What stands before the server's names; empty in a checkout and in an editable installation."""


def use_server_names() -> None:
    """Make the computation importable as `market`, `factors` and `overlays`; see the module.

    Raises ImportError if other packages with these names are installed.
    """
    if not PREFIX:
        return
    inside = import_module(PREFIX.removesuffix("."))
    found = {
        module.name.removeprefix(PREFIX): import_module(module.name)
        for module in pkgutil.walk_packages(inside.__path__, PREFIX)
    }
    for name, module in found.items():
        if "." not in name and sys.modules.get(name) is not module and find_spec(name) is not None:
            raise ImportError(f"{name} is the name of another package that is installed")
    sys.modules.update(found)
