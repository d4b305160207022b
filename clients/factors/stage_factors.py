"""Makes the package from a checkout: its own modules, and the server's computation inside it.

The repository holds no copy of the computation. In a wheel and in an sdist it stands below the
package's own name, so that `market`, `factors` and `overlays` stay free for others: every import of
them is rewritten. Standard library only: the build hook and tests use it.
"""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
PACKAGE = "trade_canvas_factors"
COMPUTATION = "computation"
APPS = ("market", "factors", "overlays")
IMPORT = re.compile(rf"^( *)(from|import) ((?:{'|'.join(APPS)})\b[\w.]*)", re.MULTILINE)


class StageError(Exception):
    """Code that can't be part of the package."""


def is_checkout() -> bool:
    """Whether the server's code is beside this file; in an sdist it is in the package already."""
    return not (HERE / PACKAGE / COMPUTATION).exists()


def stage(target: Path) -> Path:
    """Write the whole package below `target`, without tests; return its folder.

    Raises StageError for an import that leads out of the apps' domain folders.
    """
    package = target / PACKAGE
    _copy(HERE / PACKAGE, package)
    (package / "py.typed").touch()
    inside = package / COMPUTATION
    inside.mkdir()
    (inside / "__init__.py").write_text('"""The computation of trade_canvas, as it was built."""\n')
    for app in APPS:
        _copy(CHECKOUT / app / "domain", inside / app / "domain")
        (inside / app / "__init__.py").touch()
    return package


def _copy(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*.py")):
        place = path.relative_to(source)
        if "tests" not in place.parts:
            (target / place).parent.mkdir(parents=True, exist_ok=True)
            (target / place).write_text(rewritten(path.read_text(), str(path)))


def rewritten(code: str, name: str) -> str:
    """Code with its imports of the apps below the package; raises StageError."""

    def below(found: re.Match[str]) -> str:
        indent, word, module = found.groups()
        if word == "import" or module.split(".")[1:2] != ["domain"]:
            raise StageError(f"{name}: {found.group().strip()}")
        return f"{indent}from {PACKAGE}.{COMPUTATION}.{module}"

    return IMPORT.sub(below, code)
