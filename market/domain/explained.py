"""Errors whose message can be translated: a template, and the values in it."""

from __future__ import annotations


class Explained(Exception):
    """An error with an English message; `template` names each of `values` as ``%(name)s``.

    Without values the template is the message, whatever is in it.
    """

    def __init__(self, template: str, **values: object) -> None:
        super().__init__(template % values if values else template)
        self.template = template
        self.values = values


def translatable(text: str) -> str:
    """The text itself, which `make translations` then finds and others translate."""
    return text
