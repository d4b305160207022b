"""POST /api/dev/repair/overlay: draws a series anew from the factor ledger (two switches)."""

from __future__ import annotations

import logging

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from market import blocking
from market.api.endpoint import Endpoint, require
from market.api.errors import ApiError
from market.api.schema import (
    BAD_SERIES_ID,
    NO_BODY,
    NO_WRITER,
    STORE_DOWN,
    SWITCHED_OFF,
    responses,
)
from market.api.writes import require_writer
from market.domain.series import SeriesId
from overlays import repair
from overlays.api.answers import RepairedAnswer
from overlays.api.requests import RepairBody
from overlays.world import NoData, OutOfSync

log = logging.getLogger(__name__)

MISSING = {404: "not_found: the feature is switched off; read_repair.no_data"}
FAILED = {500: "read_repair.overlay_repair_failed"}
BEHIND = {
    409: "read_repair.ledger_out_of_sync.factor, read_repair.ledger_out_of_sync.overlay",
}


class RepairOverlay(Endpoint):
    """POST /api/dev/repair/overlay."""

    @extend_schema(
        operation_id="repair_overlay",
        description=(
            "Brings the factors of a series up to its newest candle, throws its drawings away and "
            "makes them anew, all of them: `to_time` only says which candle must be drawn after "
            "it. Numbers of versions keep growing, so a client goes on from any cursor. Until it "
            "is done, reads of the series answer 409."
        ),
        request=RepairBody,
        responses=responses(
            RepairedAnswer,
            BAD_SERIES_ID,
            SWITCHED_OFF,
            MISSING,
            BEHIND,
            NO_WRITER,
            NO_BODY,
            FAILED,
            STORE_DOWN,
        ),
    )
    def post(self, request: Request) -> Response:
        """Draw one series anew."""
        switches = settings.SWITCHES
        # Checked before the gate, as the written contract has it.
        body = self.body(RepairBody)
        require(switches.enable_dev_api and switches.enable_read_repair_api)
        require_writer(request._request)
        series = SeriesId.parse(body.series_id)
        try:
            answer = blocking.call(repair.begin, series, body.to_time)
            # A part at a time: no part holds the series, or a thread, for long.
            while blocking.call(repair.go_on, series):
                pass
            return Response(blocking.call(repair.finished, answer))
        except NoData:
            raise ApiError(404, "read_repair.no_data", "no_data") from None
        except OutOfSync as error:
            detail = f"ledger_out_of_sync:{error.ledger}"
            code = f"read_repair.ledger_out_of_sync.{error.ledger}"
            raise ApiError(409, code, detail) from None
        except repair.RepairFailed as error:
            log.exception("repair of %s failed", series)
            detail = f"overlay_repair_failed:{error}"
            raise ApiError(500, "read_repair.overlay_repair_failed", detail) from None
