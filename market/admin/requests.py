"""The message about work that an action of the admin asked for."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.utils.translation import gettext as _


def report_requested(where: Any, request: HttpRequest, requested: int, *, of: int) -> None:
    """Report how many backfills were requested; a warning unless all were."""
    level = messages.SUCCESS if requested == of else messages.WARNING
    counts = {"requested": requested, "all": of}
    text = _("%(requested)d of %(all)d backfills requested.") % counts
    where.message_user(request, text, level)
