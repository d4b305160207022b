"""The answers of the API as its schema describes them; the views build plain JSON values."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field, RootModel

from market.api.error_codes import ErrorCode
from market.ingest.derived_standing import StandingState


class ErrorBody(BaseModel):
    """An error: a text for people and a code for programs."""

    detail: str
    code: ErrorCode
    canonical_series_id: str | None = Field(None, description="only with the code `series_alias`")


class ValidationItem(BaseModel):
    """One error in a request."""

    type: str
    loc: list[str | int]
    msg: str
    input: Any = None
    ctx: dict[str, Any] | None = None


class ValidationBody(BaseModel):
    """A request that failed validation."""

    detail: list[ValidationItem]
    code: ErrorCode


class UnprocessableBody(RootModel[ValidationBody | ErrorBody]):
    """A request that failed validation, or asks for what the series does not have."""


class CandleAnswer(BaseModel):
    """One candle; `candle_time` is its open time in Unix seconds (UTC)."""

    candle_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class CandlesAnswer(BaseModel):
    """A page of closed candles in ascending order."""

    series_id: str
    server_head_time: int | None
    candles: list[CandleAnswer]


class HistoryChunkAnswer(BaseModel):
    """A chunk of compact history: its name, the times of its ends, the number of its candles."""

    name: str
    first: int
    last: int
    candles: int


class HistoryAnswer(BaseModel):
    """A page of the index of compact history, in ascending order."""

    series_id: str
    format: Literal[1]
    generation: str
    epoch: int
    tail_since: int | None = Field(
        description="candles after this time are in no chunk; null: no candle is in one"
    )
    chunks: list[HistoryChunkAnswer]
    next_before: int | None = Field(
        description="what to give as `before` for older chunks; null: there are none"
    )


class IngestedAnswer(BaseModel):
    """A candle was accepted."""

    ok: Literal[True]
    series_id: str
    candle_time: int


class IngestedBatchAnswer(BaseModel):
    """A batch was accepted; `count` is the number of items received."""

    ok: Literal[True]
    series_id: str
    count: int
    first_candle_time: int
    last_candle_time: int


class DerivedTimeframesAnswer(BaseModel):
    """The timeframes that are made of a base timeframe."""

    base: str
    timeframes: list[str]


class WhitelistAnswer(BaseModel):
    """The series that are always followed; `derived` only where timeframes are derived."""

    series_ids: list[str]
    derived: DerivedTimeframesAnswer | None = None


class IncompleteBucketAnswer(BaseModel):
    """A bucket with only `base_candles` of the `expected` candles of the base."""

    candle_time: int
    base_candles: int
    expected: int


class DerivedAnswer(BaseModel):
    """How a derived series stands to its base.

    `is_partial_kept` is whether an incomplete bucket has a candle all the same.
    """

    series_id: str
    base_series_id: str
    is_partial_kept: bool
    incomplete: list[IncompleteBucketAnswer]


class BackfillAnswer(BaseModel):
    """The state of the latest backfill of the newest candles."""

    state: Literal["idle", "running", "succeeded", "failed"]
    progress_pct: float | None
    started_at: int | None
    updated_at: int | None
    reason: str | None
    note: str | None
    error: str | None
    recent: bool
    start_missing_seconds: int
    start_missing_candles: int
    current_missing_seconds: int
    current_missing_candles: int


class DerivedStandingAnswer(BaseModel):
    """How a derived series stands to its base.

    `made_to_time` is the newest candle of the base that is in it. `incomplete` is its newest bucket
    that is over, if that lacks candles of the base. `base_series_id` is null where the server does
    not derive the series.
    """

    state: StandingState
    base_series_id: str | None
    base_head_time: int | None
    made_to_time: int | None
    incomplete: IncompleteBucketAnswer | None


class HealthAnswer(BaseModel):
    """How far a series is behind the newest candle that has closed."""

    series_id: str
    timeframe_seconds: int
    now_time: int
    expected_latest_closed_time: int
    head_time: int | None
    lag_seconds: int | None
    missing_seconds: int | None
    missing_candles: int | None
    status: Literal["green", "yellow", "red", "gray"]
    status_reason: str
    backfill: BackfillAnswer
    is_halted: bool | None = Field(
        None,
        description="true where the exchange lists the market as halted or delisted, else absent",
    )
    derived: DerivedStandingAnswer | None = Field(
        None,
        description="how a derived series, or one that is kept as such, stands; else absent",
    )


class NotedHole(BaseModel):
    """A part of a gap as the gap ledger has it: why its candles are missing."""

    from_time: int
    to_time: int
    state: Literal["open", "repairing", "quiet", "unserved", "unanswered", "dropped"]
    reason: str


class GapAnswer(BaseModel):
    """A gap between two neighbouring candles."""

    prev_time: int
    next_time: int
    delta_seconds: int
    missing_candles: int
    noted: list[NotedHole]


class BucketAnswer(BaseModel):
    """How many 1m candles of one candle are stored."""

    bucket_open_time: int
    expected_minutes: int
    actual_minutes: int
    missing_minutes: int


class SeriesHealthAnswer(BaseModel):
    """Extent and gaps of a series."""

    series_id: str
    timeframe_seconds: int
    now_time: int
    first_time: int | None
    head_time: int | None
    lag_seconds: int | None
    candle_count: int
    gap_count: int
    max_gap_seconds: int | None
    recent_gaps: list[GapAnswer]
    base_series_id: str
    base_bucket_completeness: list[BucketAnswer]


class IngestStateAnswer(BaseModel):
    """The ingest jobs and the switches that control them."""

    jobs: list[dict[str, Any]]
    whitelist_series_ids: list[str]
    ondemand_max_jobs: int
    whitelist_ingest_enabled: bool
    ingest_role_guard_enabled: bool
    ingest_role: str
    ingest_jobs_enabled: bool
    loop_guardrail_enabled: bool


class TimerAnswer(BaseModel):
    """Number and durations of what was timed."""

    count: float
    total_ms: float
    max_ms: float
    avg_ms: float


class MetricsAnswer(BaseModel):
    """Every metric by name and labels."""

    enabled: bool
    updated_at_ms: int
    counters: dict[str, float]
    gauges: dict[str, float]
    timers: dict[str, TimerAnswer]


class TopMarketAnswer(BaseModel):
    """A symbol with its figures of the last 24 hours."""

    exchange: str
    market: str
    symbol: str = Field(examples=["BTC/USDT"])
    symbol_id: str = Field(examples=["BTCUSDT"])
    base_asset: str
    quote_asset: str
    last_price: float | None
    quote_volume: float | None
    price_change_percent: float | None
    price_tick: float | None = Field(
        default=None, description="with `ticks`: the step of prices; null: not known"
    )
    price_digits: int | None = Field(
        default=None,
        description="with `ticks`: significant digits, where the exchange rounds to them",
    )


class TopMarketsEvent(BaseModel):
    """One server-sent event; `data` is the JSON of a ranking, or of `at_ms`, `message`, `type`."""

    event: Literal["top_markets", "error"]
    data: str
    id: str | None = None


class TopMarketsAnswer(BaseModel):
    """The symbols with the greatest volume of the last 24 hours."""

    exchange: str
    market: str
    quote_asset: str
    limit: int
    generated_at_ms: int
    cached: bool
    items: list[TopMarketAnswer]


class SymbolAnswer(BaseModel):
    """A symbol, and what a series of it can be."""

    exchange: str
    market: str
    symbol: str = Field(description="as series ids spell it", examples=["BTC/USDT"])
    base_asset: str
    quote_asset: str
    active: bool = Field(description="false: delisted or suspended")
    price_tick: float | None = Field(description="the step of prices; null: not known")
    price_digits: int | None = Field(
        description="significant digits of prices, where the exchange rounds to them"
    )
    whitelisted: list[str] = Field(description="timeframes that are always followed")
    matched: list[tuple[int, int]] = Field(
        description="ranges of letters of `symbol` that match, each to before its second number"
    )


class ListingAnswer(BaseModel):
    """The state of the list of symbols of one market of an exchange."""

    exchange: str
    market: str
    state: Literal["current", "stale", "reading", "unavailable", "not_searched"] = Field(
        description=(
            "stale: an old one while no newer one can be read; reading: not read yet, ask again; "
            "unavailable: could not be read; not_searched: name the exchange to search it"
        )
    )
    read_at: int | None = Field(description="Unix seconds")
    symbols: int | None
    timeframes: list[str] | None


class SymbolsAnswer(BaseModel):
    """A page of the symbols that match."""

    query: str
    exchange: str | None
    market: str | None
    limit: int
    total: int
    next_cursor: str | None
    items: list[SymbolAnswer]
    listings: list[ListingAnswer]
