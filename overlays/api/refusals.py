"""The refusals of reads, worded with the codes of one endpoint's family."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from market.api.errors import ApiError
from overlays.world import NoData, NoOverlay, OutOfSync

OUT_OF_SYNC = {
    "factor": "factor_read.ledger_out_of_sync",
    "overlay": "draw_read.ledger_out_of_sync.overlay",
}
DRAW_OUT_OF_SYNC = {409: ", ".join(sorted(OUT_OF_SYNC.values()))}
FRAME_MISSING = {404: "world_read.no_data, world_read.no_overlay"}
FRAME_AT_MISSING = {404: "world_read.no_data"}


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what a read raises into ApiError 404 and 409."""
    try:
        yield
    except NoData:
        raise ApiError(404, "world_read.no_data", "no_data") from None
    except NoOverlay:
        raise ApiError(404, "world_read.no_overlay", "no_overlay") from None
    except OutOfSync as error:
        detail = f"ledger_out_of_sync:{error.ledger}"
        raise ApiError(409, OUT_OF_SYNC[error.ledger], detail) from None
