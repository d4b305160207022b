"""How well a word that a user typed matches the base asset of a symbol."""

from __future__ import annotations

import re
import unicodedata
from enum import IntEnum

# Shorter words match nearly everything with a mistake in them.
SHORTEST_WITH_MISTAKE = 3

_WORD = re.compile(r"[^\W_]+")
_PART = re.compile(r"[0-9]+|[^\W\d_]+")


class Rank(IntEnum):
    """How well a symbol matches, the best first."""

    SYMBOL = 0
    """The query is the symbol as it is written."""
    BASE = 1
    """The base asset, or base and quote."""
    PREFIX = 2
    WORD = 3
    """A part of the base asset (PEPE of 1000PEPE); or the quote, the exchange or the market."""
    INSIDE = 4
    MISTAKE = 5
    """Letters are missing, or one is wrong, too many, or in the other order."""


def normal(text: str) -> str:
    """The text as it is compared."""
    return unicodedata.normalize("NFKC", text).upper()


def words_of(query: str) -> tuple[str, ...]:
    """The words of a query, as they are compared."""
    return tuple(_WORD.findall(normal(query)))


def parts_of(base: str) -> list[str]:
    """The numbers and the words that a base asset is made of; empty for a single one."""
    parts = _PART.findall(base)
    return parts if len(parts) > 1 else []


def base_rank(word: str, base: str, *, with_mistakes: bool = False) -> Rank | None:
    """How well a word matches a base asset; None when it does not. Both are `normal`."""
    if base.startswith(word):
        return Rank.BASE if base == word else Rank.PREFIX
    if word in base:
        is_part = any(part.startswith(word) for part in parts_of(base))
        return Rank.WORD if is_part else Rank.INSIDE
    if with_mistakes and len(word) >= SHORTEST_WITH_MISTAKE:
        is_similar = has_letters(word, base) or is_one_edit(word, base)
        return Rank.MISTAKE if is_similar else None
    return None


def has_letters(word: str, base: str) -> bool:
    """Whether the base begins as the word does and has its letters in this order."""
    if word[0] != base[:1]:
        return False
    letters = iter(base)
    return all(letter in letters for letter in word)


def is_one_edit(word: str, base: str) -> bool:
    """Whether one letter is wrong, missing or too many, or two neighbours are exchanged."""
    longer, shorter = (word, base) if len(word) >= len(base) else (base, word)
    if len(longer) - len(shorter) > 1:
        return False
    at = next((i for i, letter in enumerate(shorter) if letter != longer[i]), len(shorter))
    if len(longer) > len(shorter):
        return longer[at + 1 :] == shorter[at:]
    rest = longer[at + 1 :]
    is_swap = longer[at : at + 2] == shorter[at : at + 2][::-1]
    return rest == shorter[at + 1 :] or (is_swap and longer[at + 2 :] == shorter[at + 2 :])


def matched_ranges(words: tuple[str, ...], symbol: str) -> list[tuple[int, int]]:
    """The ranges of letters of a symbol that the words match: first and behind the last one."""
    text = normal(symbol)
    if len(text) != len(symbol):
        return []
    places = [i for i, letter in enumerate(text) if letter.isalnum()]
    letters = "".join(text[i] for i in places)
    marked = {places[i] for word in words for i in _marked(word, letters)}
    ranges: list[tuple[int, int]] = []
    for place in sorted(marked):
        if ranges and ranges[-1][1] == place:
            ranges[-1] = (ranges[-1][0], place + 1)
        else:
            ranges.append((place, place + 1))
    return ranges


def _marked(word: str, letters: str) -> list[int]:
    at = letters.find(word)
    if at >= 0:
        return list(range(at, at + len(word)))
    if len(word) < SHORTEST_WITH_MISTAKE or not has_letters(word, letters):
        return []
    found: list[int] = []
    for letter in word:
        found.append(letters.index(letter, found[-1] + 1 if found else 0))
    return found
