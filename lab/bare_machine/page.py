"""The commands of a page of the documentation, by section."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

SHELL = re.compile(r"^```sh\n(.*?)^```$", re.M | re.S)


class Page:
    """The shell blocks of a Markdown page; it knows which of them were taken."""

    def __init__(self, path: Path) -> None:
        self._blocks: dict[str, list[str]] = defaultdict(list)
        self._taken: set[tuple[str, int]] = set()
        for part in re.split(r"^## ", path.read_text(), flags=re.M)[1:]:
            title, _, body = part.partition("\n")
            self._blocks[title] += SHELL.findall(body)

    def block(self, section: str, number: int = 0, **values: str) -> str:
        """Return one block of a section; `values` replace what the page gives its variables.

        Raises KeyError for a section, block or variable that the page does not have.
        """
        if number >= len(self._blocks.get(section, ())):
            raise KeyError(f"block {number} of {section!r}")
        self._taken.add((section, number))
        return _with_values(self._blocks[section][number], values)

    @property
    def left(self) -> list[str]:
        """The blocks that were not taken."""
        return [
            f"{section}, block {number}"
            for section, blocks in self._blocks.items()
            for number in range(len(blocks))
            if (section, number) not in self._taken
        ]


def _with_values(block: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        lines = block.splitlines(keepends=True)
        given = [n for n, line in enumerate(lines) if line.startswith(f"{name}=")]
        if not given:
            raise KeyError(f"the page gives {name} no value")
        for n in given:
            lines[n] = f"{name}='{value}'\n"
        block = "".join(lines)
    return block
