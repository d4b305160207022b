"""The series that are followed always: rows an admin keeps, or a JSON file without database."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.conf import settings

from market.domain.series import SeriesId, SeriesIdError
from market.models import WhitelistedSeries

log = logging.getLogger(__name__)


def whitelisted_series() -> list[SeriesId]:
    """The enabled series in the order they were written down, each once.

    What is no series id is skipped with a warning; a missing file is an empty list.
    """
    return valid_series(_rows() if settings.SWITCHES.enable_pg_store else _file_entries())


def valid_series(entries: Iterable[object]) -> list[SeriesId]:
    """The entries that are series ids, trimmed, each once, in their order."""
    found: dict[SeriesId, None] = {}
    for entry in entries:
        if not isinstance(entry, str) or not entry.strip():
            continue
        try:
            found[SeriesId.parse(entry.strip())] = None
        except SeriesIdError as error:
            log.warning("whitelist: %r is skipped: %s", entry, error)
    return list(found)


def _rows() -> list[str]:
    enabled = WhitelistedSeries.objects.filter(enabled=True).order_by("pk")
    return list(enabled.values_list("series_id", flat=True))


def _file_entries() -> list[Any]:
    path = Path(settings.BASE_DIR) / settings.SWITCHES.whitelist_path
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        log.warning("whitelist: %s can't be read: %s", path, error)
        return []
    entries = content.get("series_ids") if isinstance(content, dict) else content
    return entries if isinstance(entries, list) else []
