"""The translatable texts of the code, and the catalogs made of them: `make translations`.

gettext's own programs are not needed: Babel reads Python and writes catalogs, and Django turns its
templates into something that Babel reads.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

from market.domain.feed import (
    TradesNotServed,
    UnknownExchange,
    UnknownMarket,
    UnknownSymbol,
    UnknownTimeframe,
)
from market.domain.series import SeriesAlias, SeriesIdError
from market.domain.timeframe import TimeframeError
from market.exchanges.grids import ShiftedGrid, UnevenGrid
from trade_canvas.environment import BASE_DIR

PACKAGES = ("market", "factors", "overlays", "trade_canvas")
FOLDERS_LEFT_OUT = {"tests", "migrations", "management", "static"}
CATALOG = BASE_DIR / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.po"
LANGUAGE = "zh_Hans"
# Errors whose first argument is a translatable text.
EXPLAINED = (
    SeriesAlias,
    ShiftedGrid,
    UnevenGrid,
    SeriesIdError,
    TimeframeError,
    TradesNotServed,
    UnknownExchange,
    UnknownMarket,
    UnknownSymbol,
    TradesNotServed,
    UnknownTimeframe,
)
KEYWORDS = DEFAULT_KEYWORDS | {"pgettext_lazy": DEFAULT_KEYWORDS["pgettext"]}
KEYWORDS |= dict.fromkeys(("gettext_lazy", "translatable", *(kind.__name__ for kind in EXPLAINED)))


def files() -> Iterator[Path]:
    """Every file that may hold a translatable text."""
    for package in PACKAGES:
        for path in sorted((BASE_DIR / package).rglob("*")):
            inside = path.relative_to(BASE_DIR).parts
            if path.suffix in {".py", ".html"} and FOLDERS_LEFT_OUT.isdisjoint(inside):
                yield path


def template() -> Catalog:
    """A catalog of the texts in the code, without translations."""
    found = Catalog(project="trade_canvas", charset="utf-8")
    for path in files():
        text = path.read_text("utf-8")
        # What Django makes of a template is no whole Python, but close to calls in JavaScript.
        is_page = path.suffix == ".html"
        source = templatize(text) if is_page else text
        method = "javascript" if is_page else "python"
        name = path.relative_to(BASE_DIR).as_posix()
        for _line, message, _comments, context in extract(
            method, io.BytesIO(source.encode()), keywords=KEYWORDS
        ):
            found.add(message, locations=[(name, 0)], context=context)
    return found


def read_catalog(path: Path = CATALOG) -> Catalog:
    """The translations as they are in the repository."""
    with path.open("rb") as file:
        return read_po(file, locale=LANGUAGE)


def updated() -> Catalog:
    """The translations brought up to the code: new texts are empty, old ones are gone."""
    known = read_catalog() if CATALOG.exists() else Catalog(locale=LANGUAGE, charset="utf-8")
    known.update(template(), no_fuzzy_matching=True, update_creation_date=False)
    known.obsolete.clear()
    return known


def main() -> int:
    """Write both files; 1 while a text has no translation."""
    catalog = updated()
    CATALOG.parent.mkdir(parents=True, exist_ok=True)
    with CATALOG.open("wb") as file:
        write_po(file, catalog, sort_output=True, include_lineno=False, width=100)
    with CATALOG.with_suffix(".mo").open("wb") as file:
        write_mo(file, catalog)
    missing = untranslated(catalog)
    for text in missing:
        print(f"no translation: {text!r}", file=sys.stderr)
    return 1 if missing else 0


def untranslated(catalog: Catalog) -> list[object]:
    """The texts without a translation, or with one that a translator should look at again."""
    return [
        message.id
        for message in catalog
        if message.id and (message.fuzzy or not translations_of(message))
    ]


def translations_of(message: Message) -> tuple[str, ...]:
    """The translations of a text: one, or one for each form of the plural; none when one lacks."""
    given = message.string
    texts = (given,) if isinstance(given, str) else tuple(given or ())
    return tuple(map(str, texts)) if all(texts) else ()


if __name__ == "__main__":
    sys.exit(main())
