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


def report_asked_again(where: Any, request: HttpRequest, asked: int, *, of: int) -> None:
    """Report how many gaps are asked for again; a warning unless all are."""
    level = messages.SUCCESS if asked == of else messages.WARNING
    text = _("%(asked)d of %(all)d gaps will be tried again.") % {"asked": asked, "all": of}
    where.message_user(request, text, level)
