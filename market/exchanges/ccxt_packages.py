"""Imports ccxt's exchanges when they are used.

`ccxt`, `ccxt.async_support` and `ccxt.pro` each import a hundred exchanges as soon as they are
imported themselves, which takes every process half a second and 70 MB, for the one or two exchanges
that it uses. Once `install` was called, an exchange is imported when its class is first read from
one of the packages. Everything else of them stays as it is.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

from typing_extensions import override

PACKAGES = ("ccxt", "ccxt.async_support", "ccxt.pro")
# An exchange's class has the name of its module.
EXCHANGE_IMPORT = re.compile(
    rb"^from ccxt(?:\.async_support|\.pro)?\.(\w+) import \1\b.*$", re.MULTILINE
)


class Package(ModuleType):
    """A package that imports an exchange when its class is read."""

    def __getattr__(self, name: str) -> Any:
        """Return the class of an exchange that was not imported yet."""
        if name not in self.__dict__.get("exchanges", ()):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{self.__name__}.{name}"), name)

    @override
    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute: for an exchange its class, where Python's import sets the module."""
        if isinstance(value, ModuleType) and name in self.__dict__.get("exchanges", ()):
            value = getattr(value, name)
        super().__setattr__(name, value)


class Loader(SourceFileLoader):
    """Loads a package without its imports of exchanges."""

    @override
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return Package(spec.name)

    @override
    def get_code(self, fullname: str) -> CodeType:
        # Not cached on disk: other programs would load it in place of the whole package.
        path = self.get_filename(fullname)
        return self.source_to_code(EXCHANGE_IMPORT.sub(b"", self.get_data(path)), path)


class Finder(MetaPathFinder):
    """Finds the three packages for `Loader`."""

    @override
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in PACKAGES:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = Loader(spec.loader.name, spec.loader.path)
        return spec


def install() -> None:
    """Import exchanges on demand from now on, unless ccxt was imported before."""
    if not any(isinstance(each, Finder) for each in sys.meta_path):
        sys.meta_path.insert(0, Finder())
