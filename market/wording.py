"""Texts in the language of whoever reads them: an admin, or a client of the API.

English is what the code says, byte for byte; other languages are in `locale/`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from django.conf import settings
from django.utils import translation
from django.utils.functional import lazy
from django.utils.translation import get_supported_language_variant, gettext, trans_real

from market.domain.explained import Explained


def explained(error: Exception) -> str:
    """The message of an error in the language of the moment."""
    if not isinstance(error, Explained):
        return str(error)
    template = gettext(error.template)
    return template % error.values if error.values else template


def preferred(accept_language: str) -> str:
    """The language of ours that an Accept-Language header prefers; English by default."""
    for wanted, _quality in trans_real.parse_accept_lang_header(accept_language):
        if wanted == "*":
            break
        with contextlib.suppress(LookupError):
            return get_supported_language_variant(wanted)
    return settings.LANGUAGE_CODE


def load_catalogs() -> None:
    """Read the catalogs of all languages, which the first text would otherwise wait for."""
    for language, _name in settings.LANGUAGES:
        trans_real.translation(language)


lazily_explained = lazy(explained, str)


def language_headers(language: str) -> dict[str, str]:
    """Headers of an answer in a language; none in English, which all used to be."""
    if language == settings.LANGUAGE_CODE:
        return {}
    return {"Content-Language": language, "Vary": "Accept-Language"}


@contextlib.contextmanager
def in_language_of(accept_language: str) -> Iterator[str]:
    """Texts made meanwhile are in the language that the header prefers, which is returned."""
    language = preferred(accept_language)
    if language == settings.LANGUAGE_CODE:
        # Nothing is loaded for the usual client.
        yield language
        return
    with translation.override(language):
        yield language
