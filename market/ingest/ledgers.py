"""Having the ledgers of series brought up that added history has left far behind their candles.

What ledgers there are is known to later packages only (settings.BRING_UP, settings.BRING_UP_ALL).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from django.conf import settings
from django.utils.module_loading import import_string

from market.domain.series import SeriesId
from market.ingest import dispatch
from market.ingest.runtime import call

# A request that no worker has taken by then: the round has found the series meanwhile.
EXPIRES_S = 120.0


async def request_bring_up(series: SeriesId) -> bool:
    """Have the ledgers of a series brought up now: nothing more is being added to its past.

    False when the request could not be delivered; the round finds the series later.
    """
    here = partial(import_string(settings.BRING_UP), series)
    return await call(
        partial(
            dispatch.request,
            dispatch.BRING_UP,
            str(series),
            expires=EXPIRES_S,
            here=here,
        )
    )


async def bring_up_all(*, stopping: Callable[[], bool]) -> None:
    """Bring up all ledgers that are behind and whose series are at rest, for some seconds."""
    await import_string(settings.BRING_UP_ALL)(stopping=stopping)
