"""pyarrow, the optional extra `arrow`: imported at first use, since it takes tens of megabytes."""

from __future__ import annotations

import importlib
from typing import Any

ARROW_MISSING = "arrow_not_installed"


class ArrowMissing(RuntimeError):
    """A file needs pyarrow, which is not installed; the message begins with a stable code."""

    def __init__(self) -> None:
        super().__init__(
            f"{ARROW_MISSING}: Parquet, Arrow and Feather files need the optional extra 'arrow':"
            " pip install -r requirements-arrow.lock"
        )


def pyarrow(module: str = "pyarrow") -> Any:
    """pyarrow, or one of its modules such as ``pyarrow.parquet``; raises ArrowMissing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ArrowMissing from error


def has_arrow() -> bool:
    """Whether pyarrow is installed."""
    try:
        pyarrow()
    except ArrowMissing:
        return False
    return True
