"""The parameters that single series have, as an administrator sets them.

A change is made under the lock of its series, and takes the fingerprint from the ledger in the same
transaction. So the next batch of any process finds the ledger elsewhere than it expects, reads the
parameters, and computes the series again: no process asks for them with each candle.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from factors import runtime
from factors.domain.parameters import ParameterError
from factors.models import FactorState
from market.domain.series import SeriesId
from market.runtime import candle_store

SUPERSEDED = "superseded"
"""The fingerprint of a ledger whose series has been given other parameters since."""


def change_parameters(series: SeriesId, write: Callable[[], object]) -> bool:
    """Run `write`, which changes stored parameters of the series; blocking.

    Returns whether the ledger must be computed again. Raises StoreUnavailable, with nothing
    changed.
    """
    with candle_store().writing(series):
        write()
        held = FactorState.objects.filter(series__name=str(series))
        # Parameters that a factor does not accept fail the next batch, with the reason.
        with contextlib.suppress(ParameterError):
            held = held.exclude(fingerprint=runtime.engines().of(series).fingerprint)
        return bool(held.update(fingerprint=SUPERSEDED))
