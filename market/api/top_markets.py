"""GET /api/market/top_markets: the symbols that trade most."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from market import blocking
from market.api.answers import TopMarketsAnswer
from market.api.endpoint import Endpoint
from market.api.error_codes import ErrorCode
from market.api.errors import ApiError
from market.api.requests import RankingQuery, TopMarketsQuery
from market.api.schema import STORE_DOWN, parameters_of, responses
from market.domain.feed import FeedRefused
from market.domain.throttle import Throttle
from market.exchanges.ccxt_client import known_exchanges
from market.exchanges.price_step import PriceStep
from market.exchanges.top_markets import (
    ANSWER_TIMEOUT_S,
    Ranking,
    TopMarket,
    TopMarketsUnavailable,
    exchange_loop,
)
from market.ingest.admission import is_ranked
from market.singletons import once

FORCE_INTERVAL_S = 2.0

ERRORS = {
    400: ErrorCode.UNSUPPORTED_EXCHANGE,
    502: ErrorCode.UPSTREAM_ERROR,
}


@once
def force_throttle() -> Throttle[tuple[str, str, str]]:
    """Limits how often a client address may force a fetch of an exchange's market."""
    return Throttle(FORCE_INTERVAL_S)


def require_known_exchange(asked: RankingQuery) -> None:
    """Raise ApiError 400 for an exchange that nothing here can reach."""
    if asked.exchange not in known_exchanges():
        raise _unsupported_exchange()


def require_ranked_exchange(asked: RankingQuery) -> None:
    """Raise ApiError 400 for an exchange that is not known, or not ranked here. Blocking."""
    require_known_exchange(asked)
    if not blocking.call(is_ranked, asked.exchange):
        raise _unsupported_exchange()


def _unsupported_exchange() -> ApiError:
    return ApiError(400, ErrorCode.UNSUPPORTED_EXCHANGE, _("unsupported exchange"))


def begin_ranking(asked: RankingQuery, *, force: bool) -> Future[Ranking]:
    """Begin a ranking of a known exchange."""
    quote = asked.quote_asset.upper()
    return exchange_loop().ranking(asked.exchange, asked.market, quote=quote, force=force)


def ranking_answer(asked: RankingQuery, ranking: Ranking) -> dict[str, Any]:
    """The answer to a ranking query."""
    origin = {"exchange": asked.exchange, "market": asked.market}
    return origin | {
        "quote_asset": asked.quote_asset.upper(),
        "limit": asked.limit,
        "generated_at_ms": int(time.time() * 1000),
        "cached": ranking.cached,
        "items": [origin | _item(one, asked) for one in ranking.items[: asked.limit]],
    }


def _item(one: TopMarket, asked: RankingQuery) -> dict[str, Any]:
    item = one._asdict()
    step: PriceStep = item.pop("step")
    if asked.ticks:
        item |= {"price_tick": step.tick, "price_digits": step.digits}
    return item


class TopMarkets(Endpoint):
    """One ranking."""

    @extend_schema(
        operation_id="top_markets",
        summary="List the markets with the greatest volume",
        description=(
            "`binance`, and the exchanges of which series may be followed on demand. A stale list "
            "is better than none."
        ),
        parameters=parameters_of(TopMarketsQuery),
        responses=responses(TopMarketsAnswer, ERRORS, {429: ErrorCode.RATE_LIMITED}, STORE_DOWN),
    )
    def get(self, request: Request) -> Response:
        """The symbols with the greatest volume."""
        asked = self.query(TopMarketsQuery)
        require_ranked_exchange(asked)
        if asked.force:
            address = str(request.META.get("REMOTE_ADDR", ""))
            if force_throttle().admit((address, asked.exchange, asked.market)):
                raise ApiError(
                    429, ErrorCode.RATE_LIMITED, "rate_limited", headers={"Retry-After": "2"}
                )
        try:
            ranking = begin_ranking(asked, force=asked.force).result(ANSWER_TIMEOUT_S + 1)
        except FeedRefused as error:
            raise _unsupported_exchange() from error
        except (TopMarketsUnavailable, TimeoutError) as error:
            raise ApiError(502, ErrorCode.UPSTREAM_ERROR, f"upstream_error:{error}") from error
        return Response(ranking_answer(asked, ranking))
