"""Every message of `/ws/market` and `/ws/debug`, field by field.

The code that builds a message is checked against these types, and `/api/asyncapi.json` is made of
them. Building them costs nothing: a TypedDict is a dict.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

Series = Annotated[
    str,
    Field(description="exchange:market:symbol:timeframe", examples=["binance:spot:BTC/USDT:1m"]),
]
OpenTime = Annotated[int, Field(description="open time in Unix seconds, UTC")]


class SocketErrorCode(StrEnum):
    """The stable code of an error message; docs/ws-protocol.md has what to do about each."""

    BAD_REQUEST = "bad_request"
    CAPACITY = "capacity"
    EXCHANGE_NOT_SERVED = "exchange_not_served"
    EXCHANGE_UNAVAILABLE = "exchange_unavailable"
    RATE_LIMITED = "rate_limited"
    SERIES_ALIAS = "series_alias"
    TOO_MANY_SUBSCRIPTIONS = "too_many_subscriptions"
    UNAVAILABLE = "unavailable"
    UNKNOWN_SYMBOL = "unknown_symbol"


class SubscribeRequest(TypedDict):
    """Follow a series from `since` on. Unknown fields are ignored."""

    type: Literal["subscribe"]
    series_id: Series
    since: NotRequired[
        Annotated[
            int | bool | None,
            Field(description="newest closed candle that the client has, exclusive; null: none"),
        ]
    ]
    epoch: NotRequired[
        Annotated[
            int | bool | None,
            Field(description="epoch of the client's candles: revisions since then are reported"),
        ]
    ]
    generation: NotRequired[
        Annotated[str | None, Field(description="generation of the client's candles")]
    ]
    supports_batch: NotRequired[
        Annotated[bool | None, Field(description="the client understands `candles_batch`")]
    ]
    drawings: NotRequired[
        Annotated[
            int | bool | None,
            Field(description="follow drawings from this cursor on, 0 for none; null: do not"),
        ]
    ]


class UnsubscribeRequest(TypedDict):
    """Stop following a series."""

    type: Literal["unsubscribe"]
    series_id: Series


class HelloRequest(TypedDict):
    """Ask for heartbeats and health; a later one replaces it."""

    type: Literal["hello"]
    heartbeat: NotRequired[bool | None]
    health: NotRequired[bool | None]


class SnapshotRequest(TypedDict):
    """Ask for the newest debug events again."""

    type: Literal["subscribe"]


class CandleBody(TypedDict):
    """One candle."""

    candle_time: OpenTime
    open: float
    high: float
    low: float
    close: float
    volume: float


class CandleClosed(TypedDict):
    """One closed candle."""

    type: Literal["candle_closed"]
    series_id: Series
    candle: CandleBody


class CandlesBatch(TypedDict):
    """Two or more closed candles, ascending; only to subscriptions with `supports_batch`."""

    type: Literal["candles_batch"]
    series_id: Series
    candles: Annotated[list[CandleBody], Field(min_length=2)]


class CandleForming(TypedDict):
    """The open candle, for display only: it is never a `since`."""

    type: Literal["candle_forming"]
    series_id: Series
    candle: CandleBody


class Gap(TypedDict):
    """Candles are missing before the next one that is sent."""

    type: Literal["gap"]
    series_id: Series
    expected_next_time: Annotated[int, Field(description="open time of the first missing candle")]
    actual_time: Annotated[int, Field(description="open time of the next candle that is sent")]


class RevisedData(TypedDict):
    """From where on stored candles changed, and the epoch after it."""

    series_id: Series
    from_time: OpenTime
    epoch: int


class RebuiltData(TypedDict):
    """From where on factors and drawings were computed again."""

    series_id: Series
    from_time: OpenTime


class CandleRevised(TypedDict):
    """Stored candles changed: read again from `from_time` on."""

    type: Literal["system"]
    series_id: Series
    event: Literal["candle.revised"]
    message: str
    data: RevisedData


class FactorRebuild(TypedDict):
    """Factors and drawings were computed again."""

    type: Literal["system"]
    series_id: Series
    event: Literal["factor.rebuild"]
    message: str
    data: RebuiltData


class SocketError(TypedDict):
    """A request was refused; the connection stays open."""

    type: Literal["error"]
    code: SocketErrorCode
    message: str
    series_id: NotRequired[Series]
    canonical_series_id: NotRequired[
        Annotated[str, Field(description="only with the code `series_alias`")]
    ]


class Heartbeat(TypedDict):
    """The server is there; only after a `hello` that asks for it."""

    type: Literal["heartbeat"]
    time: Annotated[int, Field(description="the server's clock in Unix seconds")]


class DrawnFields(TypedDict):
    """What is drawn: the fields that both messages about drawings have."""

    cursor: int | None
    to_candle_time: int | None
    epoch: int
    generation: str


class DrawCursor(DrawnFields):
    """The cursor of a series' drawings now; null while they are behind the candles."""

    type: Literal["draw_cursor"]
    series_id: Series


class DrawnChange(TypedDict):
    """What changed in the drawings. `Any` is JSON of the room that draws."""

    removed_ids: Sequence[str]
    instruction_catalog_patch: Any
    series_points: NotRequired[Any]


class DrawDelta(DrawnFields, DrawnChange):
    """What changed in the drawings since `previous_cursor`."""

    type: Literal["draw_delta"]
    series_id: Series
    previous_cursor: int


class PartialCandle(TypedDict):
    """A candle of a derived series that lacks some of its base."""

    candle_time: OpenTime
    base_candles: int
    expected: int


class HealthFields(TypedDict):
    """The health of a series' candles and ledgers. `Any` is JSON as the HTTP API has it."""

    market: Any
    factor: Any
    partial: NotRequired[list[PartialCandle]]


class HealthMessage(HealthFields):
    """The health of a followed series; only after a `hello` that asks for it."""

    type: Literal["health"]
    series_id: Series


class DebugEventBody(TypedDict):
    """What a process wrote or read."""

    ts_ms: Annotated[int, Field(description="Unix milliseconds, by the clock of the process")]
    source: Literal["backend"]
    pipe: Literal["read", "write"]
    event: str
    series_id: str | None
    level: Literal["info", "warn", "error"]
    message: str
    data: NotRequired[dict[str, Any]]


class DebugSnapshot(TypedDict):
    """The newest debug events, oldest first."""

    type: Literal["debug_snapshot"]
    events: list[DebugEventBody]


class DebugEvent(TypedDict):
    """One more debug event."""

    type: Literal["debug_event"]
    event: DebugEventBody


MARKET_REQUESTS = (SubscribeRequest, UnsubscribeRequest, HelloRequest)
MARKET_MESSAGES = (
    CandleClosed,
    CandlesBatch,
    CandleForming,
    Gap,
    CandleRevised,
    FactorRebuild,
    SocketError,
    Heartbeat,
    DrawCursor,
    DrawDelta,
    HealthMessage,
)
DEBUG_REQUESTS = (SnapshotRequest,)
DEBUG_MESSAGES = (DebugSnapshot, DebugEvent)
