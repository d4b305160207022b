"""Writes a new factor that works: logic, drawings, test and page; or a package with them."""

from __future__ import annotations

import keyword
import re
import tomllib
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

SKELETON = Path(__file__).parents[2] / "skeleton"
FILES = {
    "factors/domain/{name}.py": ("factor.py.txt",),
    "overlays/domain/{name}.py": ("renderer.py.txt",),
    "overlays/domain/tests/test_{name}.py": ("test.py.txt",),
    "docs/factors/{name}.md": ("page.md.txt",),
}
LISTS = {
    "factors/domain/all_factors.py": "FACTORS",
    "overlays/domain/all_renderers.py": "RENDERERS",
}
PACKAGE_FILES = {
    "pyproject.toml": ("pyproject.toml.txt",),
    "README.md": ("page.md.txt", "install.md.txt"),
    "{package}/__init__.py": ("init.py.txt",),
    "{package}/factor.py": ("factor.py.txt",),
    "{package}/drawings.py": ("renderer.py.txt",),
    "tests/test_{name}.py": ("test.py.txt",),
}
LINE_LENGTH = 100


class Command(BaseCommand):
    """Writes four files and one line in each of two lists, or a package of its own."""

    help = (
        "Write the skeleton of a factor: factors/domain/NAME.py, overlays/domain/NAME.py, their "
        "test and docs/factors/NAME.md, and add it to both lists; with --package, a package "
        "outside of the checkout that has the same and entry points. The skeleton works and its "
        "test passes; replace its logic bit by bit."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("name", help="lower case, letters, digits and underscores")
        where = parser.add_mutually_exclusive_group()
        where.add_argument(
            "--root", type=Path, default=settings.BASE_DIR, help="the checkout to write into"
        )
        where.add_argument(
            "--package", type=Path, metavar="DIR", help="write a package of its own into DIR"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the files, and list them."""
        name, folder = options["name"], options["package"]
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
            raise CommandError("a factor's name is lower case letters, digits and underscores")
        root = options["root"] if folder is None else folder
        files, differing = (FILES, "checkout") if folder is None else (PACKAGE_FILES, "package")
        words = _words(name, differing)
        texts = {root / path.format(**words): _filled(each, words) for path, each in files.items()}
        taken = [path for path in texts if path.exists()]
        if taken:
            raise CommandError(f"exists already: {taken[0]}")
        if folder is None:
            texts |= {root / path: _listed(root / path, each, name) for path, each in LISTS.items()}
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            self.stdout.write(str(path.relative_to(root)))


def _words(name: str, differing: str) -> dict[str, str]:
    """What the skeleton's files are filled with, by place."""
    parts = name.split("_")
    words = {
        "name": name,
        "title": " ".join(parts).capitalize(),
        "class_name": "".join(map(str.title, parts)),
        "package": f"trade_canvas_{name}",
        "distribution": f"trade-canvas-{name.replace('_', '-')}",
    }
    texts = tomllib.loads((SKELETON / f"{differing}.toml").read_text())
    filled = {each: Template(text).substitute(words).strip("\n") for each, text in texts.items()}
    return words | filled


def _filled(files: tuple[str, ...], words: Mapping[str, str]) -> str:
    return "".join(Template((SKELETON / each).read_text()).substitute(words) for each in files)


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
