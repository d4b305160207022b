"""Cells that several lists of the admin have: the chart of a series, and a problem."""

from __future__ import annotations

from urllib.parse import urlencode

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from market.installation.words import NOTHING, Problem


def chart_link(series_id: str) -> SafeString:
    """A link to the chart of a series, named for screen readers."""
    address = f"{reverse('page')}?{urlencode({'series': series_id})}"
    name = _("Chart of %(series)s") % {"series": series_id}
    return format_html('<a href="{}" aria-label="{}">{}</a>', address, name, _("Chart"))


def problem_cell(problem: Problem | None) -> str | SafeString:
    """The sentences of a problem; the error's own text opens below them."""
    if problem is None:
        return NOTHING
    return format_html(
        '<div class="problem{}"><span>{}</span> '
        "<details><summary>{}</summary><code>{}</code></details></div>",
        "" if problem.is_present else " problem-solved",
        problem.text,
        _("Details"),
        problem.detail,
    )


def state_cell(state: str, reason: str, evidence: str) -> str | SafeString:
    """A state with its reason; what shows it opens below."""
    shown: str | SafeString = ""
    if evidence != NOTHING:
        shown = format_html("<details><summary>{}</summary> {}</details>", _("Evidence"), evidence)
    return format_html('<div class="problem"><strong>{}</strong> {} {}</div>', state, reason, shown)
