"""The errors of reads of the factor ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.utils.translation import gettext_lazy as _

from factors.events import EventsChanged, LedgerBehind
from market.api.error_codes import ErrorCode
from market.api.errors import ApiError

OUT_OF_SYNC = {409: ErrorCode.FACTOR_OUT_OF_SYNC}
PAGED_OUT_OF_SYNC = {409: (ErrorCode.FACTOR_OUT_OF_SYNC, ErrorCode.EVENTS_CHANGED)}


def ledger_behind(ledger: str = "factor") -> ApiError:
    """The error for a candle that the factor ledger has not reached."""
    return ApiError(409, ErrorCode.FACTOR_OUT_OF_SYNC, f"ledger_out_of_sync:{ledger}")


@contextmanager
def refusals(ledger: str = "factor") -> Iterator[None]:
    """Raise what a paged read of the ledger raises as an ApiError."""
    try:
        yield
    except LedgerBehind as error:
        raise ledger_behind(ledger) from error
    except EventsChanged as error:
        text = _("what was read before has changed: read again from the beginning")
        raise ApiError(409, ErrorCode.EVENTS_CHANGED, text) from error
