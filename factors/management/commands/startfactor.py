"""Writes a new factor that works: logic, drawings, test and page."""

from __future__ import annotations

import keyword
import re
from argparse import ArgumentParser
from pathlib import Path
from string import Template
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

SKELETON = Path(__file__).parents[2] / "skeleton"
FILES = {
    "factor.py.txt": "factors/domain/{name}.py",
    "renderer.py.txt": "overlays/domain/{name}.py",
    "test.py.txt": "overlays/domain/tests/test_{name}.py",
    "page.md.txt": "docs/factors/{name}.md",
}
LISTS = {
    "factors/domain/all_factors.py": "FACTORS",
    "overlays/domain/all_renderers.py": "RENDERERS",
}
LINE_LENGTH = 100


class Command(BaseCommand):
    """Writes four files and one line in each of two lists."""

    help = (
        "Write the skeleton of a factor: factors/domain/NAME.py, overlays/domain/NAME.py, their "
        "test and docs/factors/NAME.md, and add it to both lists. The skeleton works and "
        "its test passes; replace its logic bit by bit."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("name", help="lower case, letters, digits and underscores")
        parser.add_argument(
            "--root", type=Path, default=settings.BASE_DIR, help="the checkout to write into"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the files, and list them."""
        name, root = options["name"], options["root"]
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
            raise CommandError("a factor's name is lower case letters, digits and underscores")
        texts = {root / path.format(name=name): _filled(file, name) for file, path in FILES.items()}
        taken = [path for path in texts if path.exists()]
        if taken:
            raise CommandError(f"exists already: {taken[0]}")
        texts |= {root / path: _listed(root / path, each, name) for path, each in LISTS.items()}
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            self.stdout.write(str(path.relative_to(root)))


def _filled(file: str, name: str) -> str:
    words = name.split("_")
    return Template((SKELETON / file).read_text()).substitute(
        name=name, title=" ".join(words).capitalize(), class_name="".join(map(str.title, words))
    )


def _listed(path: Path, variable: str, name: str) -> str:
    """The file's text with the name imported and appended to its list."""
    text, imports = re.subn(
        r"^from (\w+\.domain) import ([\w, ]+)$",
        lambda found: _import(found[1], sorted([*found[2].split(", "), name])),
        path.read_text(),
        count=1,
        flags=re.M,
    )
    text, lists = re.subn(
        rf"^{variable} = \(\n(?:    \S+,\n)*",
        rf"\g<0>    {name}.SPEC,\n",
        text,
        count=1,
        flags=re.M,
    )
    if not imports or not lists:
        raise CommandError(f"{path} does not look as expected: add the factor there by hand")
    return text


def _import(package: str, names: list[str]) -> str:
    line = f"from {package} import {', '.join(names)}"
    if len(line) <= LINE_LENGTH:
        return line
    return f"from {package} import (\n" + "".join(f"    {name},\n" for name in names) + ")"
